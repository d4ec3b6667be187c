import numpy as np
import pytest

from mite_tf.evaluation import DirectionScores, MatchingRanks, RetrievalScores, matching_ranks
from mite_tf.evaluation.differences import (
    bootstrap_interval,
    queries_answered,
    resampled_recalls,
    t_interval,
)


def coverage(interval, truth=0.3, trials=2000, values=5):
    """How often an interval from a few normally distributed values holds their mean."""
    random = np.random.default_rng(0)
    samples = random.normal(truth, 2.0, (trials, values))
    intervals = [interval(sample) for sample in samples]
    return np.mean([low <= truth <= high for low, high in intervals])


def test_students_interval_holds_the_mean_of_five_seeds_as_often_as_it_says():
    assert coverage(t_interval) == pytest.approx(0.95, abs=0.015)  # three standard errors


def test_the_bootstrap_over_five_seeds_is_too_narrow_as_its_documentation_says():
    found = coverage(lambda sample: bootstrap_interval(sample, draws=400))
    assert found == pytest.approx(0.84, abs=0.025)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_intervals_of_no_difference_and_of_one_seed(interval):
    assert interval([0.0] * 5) == (0.0, 0.0)
    assert interval([1.0]) is None


@pytest.fixture(scope="module")
def trainings():
    """Two variants with three seeds each on 40 images with 0 to 3 captions, the second better."""
    random = np.random.default_rng(0)
    caption_image = np.repeat(np.arange(40), random.integers(0, 4, 40))
    centres = random.normal(size=(40, 6))

    def ranks(noise):
        captions = centres[caption_image] + random.normal(scale=noise, size=(len(caption_image), 6))
        return matching_ranks(centres, captions, caption_image)

    return caption_image, [[ranks(noise) for _ in range(3)] for noise in (1.2, 0.9)]


def recalls(ranks):
    scores = RetrievalScores(*map(DirectionScores.of_ranks, ranks))
    return [
        getattr(d, f"r{k}")
        for d in (scores.image_to_text, scores.text_to_image)
        for k in (1, 5, 10)
    ]


def test_answered_queries_add_up_to_the_recalls(trainings):
    caption_image, variants = trainings
    ranks = variants[0][0]
    answered = queries_answered(ranks, caption_image)
    images, captions = len(np.unique(caption_image)), len(caption_image)
    assert len(answered) == images
    share = 100 * answered.sum(axis=0) / ([images] * 3 + [captions] * 3)
    np.testing.assert_allclose(share, recalls(ranks))


def test_resampling_agrees_with_drawing_queries_one_by_one(trainings):
    caption_image, variants = trainings
    images = np.unique(caption_image)
    answered = np.array(
        [
            queries_answered(b, caption_image) - queries_answered(a, caption_image)
            for a, b in zip(*variants, strict=True)
        ]
    )
    ours = resampled_recalls(answered, caption_image, draws=4000)

    random, naive = np.random.default_rng(1), []
    for _ in range(1500):
        drawn = random.integers(len(images), size=len(images))
        captions = np.concatenate([np.flatnonzero(caption_image == images[i]) for i in drawn])
        differences = []
        for seed in random.integers(3, size=3):
            one, two = (
                recalls(
                    MatchingRanks(v[seed].image_to_text[drawn], v[seed].text_to_image[captions])
                )
                for v in variants
            )
            differences.append(np.subtract(two, one))
        naive.append(np.mean(differences, axis=0))
    deviation = np.std(naive, axis=0)
    np.testing.assert_allclose(
        ours.mean(axis=0), np.mean(naive, axis=0), atol=0.12 * deviation.max()
    )
    np.testing.assert_allclose(ours.std(axis=0), deviation, rtol=0.1)
