import numpy as np
import pytest

from mite_tf.losses import SigLIP


def test_equals_the_cross_entropies_computed_by_hand():
    # Temperature 1, bias 0; similarities are the log-odds of "a pair":
    # pair 0, odds 3: -log(3/4) = log(4/3); pair 1, odds 1: log 2;
    # image 0 with caption 1, odds 1: -log(1/2) = log 2; image 1 with caption 0, odds 2: log 3.
    # Each negative is shared by the two pairs.
    similarities = np.log(np.array([[3.0, 1.0], [2.0, 1.0]], "float32"))
    loss = SigLIP(temperature=1.0, bias=0.0, reduction=None)
    shared = (np.log(2) + np.log(3)) / 2
    expected = [np.log(4 / 3) + shared, np.log(2) + shared]
    np.testing.assert_allclose(loss(np.array([5, 6]), similarities), expected, rtol=1e-6)


def test_mean_is_the_loss_of_the_paper():
    rng = np.random.default_rng(0)
    similarities = rng.uniform(-1, 1, (6, 6)).astype("float32")
    signs = 2.0 * np.eye(6) - 1.0
    expected = np.log1p(np.exp(-signs * (10.0 * similarities - 10.0))).sum() / 6
    np.testing.assert_allclose(SigLIP()(np.arange(6), similarities), expected, rtol=1e-5)


def test_other_captions_of_an_image_are_left_out():
    # Pairs 0 and 1 are one image: of six off-diagonal cells four are negatives, at odds 1.
    loss = SigLIP(temperature=1.0, bias=0.0)
    value = loss(np.array([5, 5, 6]), np.zeros((3, 3), "float32"))
    np.testing.assert_allclose(value, (3 + 4) * np.log(2) / 3, rtol=1e-6)


def test_extreme_logits_stay_finite():
    similarities = np.array([[-1.0, 1.0], [1.0, -1.0]], "float32")
    # Temperature 1e-4: logits of a million in size, each wrong.
    value = SigLIP(temperature=1e-4, bias=0.0)(np.array([5, 6]), similarities)
    np.testing.assert_allclose(value, 2e4, rtol=1e-6)


def test_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"`temperature`.*above 0.*temperature=-1"):
        SigLIP(temperature=-1)
