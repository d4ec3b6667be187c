import numpy as np
import pytest

from mite_tf.evaluation import DirectionScores, RetrievalScores, chance_level, matching_ranks


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
