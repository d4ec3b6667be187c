import numpy as np
import pytest

from mite_tf.losses import InfoNCE


def test_equals_the_cross_entropies_computed_by_hand():
    # exp(s) = [[3, 1], [1, 1]]: row 0 and column 0 give log(4 / 3), row 1 and column 1 log 2.
    similarities = np.log(np.array([[3.0, 1.0], [1.0, 1.0]], "float32"))
    loss = InfoNCE(temperature=1.0, reduction=None)
    np.testing.assert_allclose(
        loss(np.array([5, 6]), similarities), [np.log(4 / 3), np.log(2)], rtol=1e-6
    )


def test_other_captions_of_an_image_leave_the_denominator():
    # Pairs 0 and 1 are one image. All similarities are 0: they choose out of 2, pair 2 of 3.
    loss = InfoNCE(reduction=None)
    np.testing.assert_allclose(
        loss(np.array([5, 5, 6]), np.zeros((3, 3), "float32")), np.log([2, 2, 3]), rtol=1e-6
    )


def test_temperature_divides_the_similarities():
    similarities = np.array([[0.2, 0.1], [-0.3, 0.4]], "float32")
    ids = np.array([5, 6])
    np.testing.assert_allclose(
        InfoNCE(temperature=0.1)(ids, similarities),
        InfoNCE(temperature=1.0)(ids, similarities * 10),
        rtol=1e-5,
    )


def test_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"`temperature`.*above 0.*temperature=0"):
        InfoNCE(temperature=0)
