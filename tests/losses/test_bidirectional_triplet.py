import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import BidirectionalTriplet, InfoNCE, active_hinges

IDS = np.array([10, 20, 30])
SIMILARITIES = np.array([[0.5, 0.6, 0.1], [0.2, 0.7, 0.4], [0.45, 0.3, 0.8]], "float32")


@pytest.mark.parametrize(
    ("negatives", "expected"),
    [
        # margin 0.2, images to captions (rows) and captions to images (columns).
        # Row 0: 0.2 - 0.5 + (0.6, 0.1)  = 0.3, -0.2 | column 0: ... (0.2, 0.45) = -0.1, 0.15
        # Row 1: 0.2 - 0.7 + (0.2, 0.4)  = -0.3, -0.1 | column 1: ... (0.6, 0.3) = 0.1, -0.2
        # Row 2: 0.2 - 0.8 + (0.45, 0.3) = -0.15, -0.3 | column 2: ... (0.1, 0.4) = -0.5, -0.2
        ("sum", [0.45, 0.1, 0.0]),
        ("hardest", [0.45, 0.1, 0.0]),
        # Row 0 passes over 0.6, which beats the pair's 0.5, for 0.1: hinge -0.2, so 0.
        ("semi-hard", [0.15, 0.1, 0.0]),
    ],
)
def test_equals_the_hinges_computed_by_hand(negatives, expected):
    loss = BidirectionalTriplet(margin=0.2, negatives=negatives, reduction=None)
    np.testing.assert_allclose(loss(IDS, SIMILARITIES), expected, atol=1e-6)


def test_soft_hinge_by_hand():
    # Row 0: 0.1 * log(1 + e^((0.2 - 0.5 + 0.6) / 0.1) + e^((0.2 - 0.5 + 0.1) / 0.1))
    #      = 0.1 * log(1 + e^3 + e^-2); column 0: 0.1 * log(1 + e^-1 + e^1.5).
    expected = 0.1 * np.log(1 + np.exp(3) + np.exp(-2)) + 0.1 * np.log(1 + np.exp(-1) + np.exp(1.5))
    loss = BidirectionalTriplet(0.2, "soft", temperature=0.1, reduction=None)
    np.testing.assert_allclose(loss(IDS, SIMILARITIES)[0], expected, rtol=1e-5)


def test_soft_becomes_hardest_as_it_cools_and_infonce_without_margin():
    random = np.random.default_rng(0)
    ids = np.array([1, 2, 2, 3, 4])
    similarities = random.uniform(-1, 1, (5, 5)).astype("float32")
    cold = BidirectionalTriplet(0.2, "soft", temperature=1e-3, reduction=None)
    hardest = BidirectionalTriplet(0.2, "hardest", reduction=None)
    np.testing.assert_allclose(cold(ids, similarities), hardest(ids, similarities), atol=1e-3)
    soft = BidirectionalTriplet(0.0, "soft", temperature=0.1, reduction=None)
    infonce = InfoNCE(temperature=0.1, reduction=None)
    expected = 2 * 0.1 * infonce(ids, similarities)
    np.testing.assert_allclose(soft(ids, similarities), expected, rtol=1e-4, atol=1e-6)


def test_a_collapsed_embedding_costs_twice_the_margin():
    similarities = np.full((4, 4), 0.7, "float32")
    for negatives in ("hardest", "semi-hard"):
        loss = BidirectionalTriplet(0.2, negatives)
        assert float(loss(np.arange(4), similarities)) == pytest.approx(0.4)


def test_hardest_share_moves_from_sum_to_hardest_without_retracing():
    similarities = np.array([[0.5, 0.6, 0.4], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]], "float32")
    loss, traces = BidirectionalTriplet(0.2, "mix", reduction=None), []

    @tf.function
    def step(ids, similarities):
        traces.append(1)
        return loss(ids, similarities)

    ids, similarities = tf.constant(IDS), tf.constant(similarities)
    # Row 0 costs 0.4 by the sum and 0.3 by the hardest.
    for share, expected in ((0.0, 0.4), (0.5, 0.35), (1.0, 0.3)):
        loss.hardest_share.assign(share)
        np.testing.assert_allclose(step(ids, similarities)[0], expected, atol=1e-6)
        assert loss.get_config()["hardest_share"] == share
    assert len(traces) == 1
    assert not loss.hardest_share.trainable


def test_active_hinges_counts_anchors_in_both_directions():
    # Active: row 0 (0.3), column 0 (0.15), column 1 (0.1), of three rows and three columns.
    assert float(active_hinges(IDS, SIMILARITIES, 0.2)) == pytest.approx(3 / 6)
    # With a margin of 0.05 only row 0 is left: 0.05 - 0.5 + 0.6.
    assert float(active_hinges(IDS, SIMILARITIES, 0.05)) == pytest.approx(1 / 6)


def test_active_hinges_masks_by_image_id():
    # Captions 0 and 1 belong to one image: the 0.6 of row 0 and column 1 is no negative.
    # What is left: column 0, 0.2 - 0.5 + 0.45.
    ids = np.array([2**40, 2**40, 2**40 + 1])
    assert float(active_hinges(ids, SIMILARITIES, 0.2)) == pytest.approx(1 / 6)
    assert float(active_hinges(np.array([4]), np.array([[0.3]], "float16"), 0.2)) == 0.0
