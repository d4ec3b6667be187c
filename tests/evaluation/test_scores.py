import numpy as np
import pytest

from mite_tf.evaluation import (
    DirectionScores,
    RetrievalScores,
    against_chance,
    chance_deviation,
    chance_level,
    matching_ranks,
    reached_by_chance,
)


def test_scores_of_ranks():
    scores = DirectionScores.of_ranks([1, 1, 2, 5, 6, 10, 11, 100])
    assert scores == DirectionScores(r1=25.0, r5=50.0, r10=75.0, median_rank=5.5, mean_rank=17.0)


def test_rsum_adds_six_recalls_and_means_are_by_score():
    low = DirectionScores(1.0, 2.0, 3.0, 40.0, 50.0)
    high = DirectionScores(3.0, 4.0, 5.0, 20.0, 30.0)
    both = RetrievalScores(low, high)
    assert both.rsum == 18.0
    middle = DirectionScores(2.0, 3.0, 4.0, 30.0, 40.0)
    assert RetrievalScores.mean([both, RetrievalScores(high, low)]) == RetrievalScores(
        middle, middle
    )


def test_chance_by_hand():
    # Three images with 1, 2 and 1 captions, one image without. Four candidates either way.
    chance = chance_level(4, [0, 1, 1, 2])
    assert chance.text_to_image.r1 == pytest.approx(25.0)
    assert chance.text_to_image.median_rank == chance.text_to_image.mean_rank == 2.5
    # Best of one caption: rank 1 in 1/4; best of two: in 1/2. Mean rank 5/2 and 5/3.
    assert chance.image_to_text.r1 == pytest.approx(100 * (1 / 4 + 1 / 2 + 1 / 4) / 3)
    assert chance.image_to_text.mean_rank == pytest.approx((5 / 2 + 5 / 3 + 5 / 2) / 3)
    # Found by rank 1: 1/3; by 2: (1/2 + 5/6 + 1/2) / 3 = 11/18.
    assert chance.image_to_text.median_rank == 2
    # More results than candidates.
    assert chance.image_to_text.r5 == chance.text_to_image.r10 == 100.0


def test_chance_is_what_random_embeddings_reach():
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.repeat(np.arange(30), 2), np.arange(30, 40)])
    found = []
    for _ in range(300):
        ranks = matching_ranks(rng.normal(size=(40, 64)), rng.normal(size=(70, 64)), rows)
        found.append(RetrievalScores(*map(DirectionScores.of_ranks, ranks)))
    mean, chance = RetrievalScores.mean(found), chance_level(40, rows)
    for direction in ("image_to_text", "text_to_image"):
        for score in ("r1", "r5", "r10", "mean_rank"):
            expected = getattr(getattr(chance, direction), score)
            assert getattr(getattr(mean, direction), score) == pytest.approx(expected, abs=1.0)


def test_the_deviation_of_chance_by_hand():
    # Six images with a caption each: a rank of 1 adds 300, 2 to 5 add 200, 6 adds 100, so that one
    # query varies by 100**2 / 3, the mean of six by a sixth of it, and both directions add up.
    assert chance_deviation(6, np.arange(6)) == pytest.approx(2 * 100 * np.sqrt(1 / 18))
    # Captions of one image are no further queries.
    five = chance_deviation(300, np.repeat(np.arange(300), 5))
    assert five == pytest.approx(chance_deviation(300, np.arange(300)), rel=0.05)


@pytest.mark.parametrize("captions", [1, 4])
def test_random_embeddings_hardly_ever_beat_chance_and_good_ones_do(captions):
    rng, rows = np.random.default_rng(0), np.repeat(np.arange(20), captions)
    chance, deviation = chance_level(20, rows), chance_deviation(20, rows)

    def beats(noise):
        images = rng.normal(size=(20, 64))
        base = rng.normal(size=(20, 64)) if noise is None else images + noise
        texts = base[rows] + 0.5 * rng.normal(size=(len(rows), 64))
        scores = map(DirectionScores.of_ranks, matching_ranks(images, texts, rows))
        return not against_chance(RetrievalScores(*scores).rsum, chance.rsum, deviation)

    assert np.mean([beats(None) for _ in range(300)]) <= 0.05
    assert beats(rng.normal(size=(20, 64)))


def test_what_cannot_be_told_is_said():
    assert "cannot tell a model from chance" in against_chance(600.0, 500.0, 60.0)
    assert reached_by_chance(chance_level(11, np.arange(11))) == ""
    alone = reached_by_chance(chance_level(1, [0]))
    assert alone.count("R@") == 6
