import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mite_tf.losses import MaximumMeanDiscrepancy

EMBEDDINGS = arrays(
    np.float32, st.tuples(st.integers(1, 4), st.just(2)), elements=st.floats(-1, 1, width=16)
)


def discrepancy(images, texts, bandwidths=(1.0,)):
    loss = MaximumMeanDiscrepancy(bandwidths)
    return float(loss.encoder_loss(None, np.array(images, "float32"), np.array(texts, "float32")))


def naive(images, texts, bandwidths):
    def kernel(x, y):
        squared = sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))
        return sum(math.exp(-squared / (2 * b * b)) for b in bandwidths) / len(bandwidths)

    def mean(xs, ys):
        return sum(kernel(x, y) for x in xs for y in ys) / (len(xs) * len(ys))

    return mean(images, images) + mean(texts, texts) - 2 * mean(images, texts)


def test_two_samples_of_two_points():
    # On a line, {0, 1} against {0, 2}; a = e^-1/2 and b = e^-2 at distances 1 and 2:
    # (2 + 2a)/4 + (2 + 2b)/4 - 2 (1 + b + a + a)/4 = (1 - a) / 2
    expected = (1 - math.exp(-0.5)) / 2
    assert discrepancy([[0.0], [1.0]], [[0.0], [2.0]]) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(images=EMBEDDINGS, texts=EMBEDDINGS)
def test_agrees_with_loops_over_the_embeddings(images, texts):
    value = discrepancy(images, texts, (0.5, 1.0, 2.0))
    assert value == pytest.approx(naive(images, texts, (0.5, 1.0, 2.0)), abs=2e-6)
    assert value >= -1e-6
    assert value == pytest.approx(discrepancy(texts, images, (0.5, 1.0, 2.0)), abs=1e-6)


def test_identical_samples_have_none_in_any_order():
    points = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    assert discrepancy(points, points) == pytest.approx(0.0, abs=1e-6)
    assert discrepancy(points, points[::-1]) == pytest.approx(0.0, abs=1e-6)


def test_descending_it_brings_the_modalities_together():
    loss = MaximumMeanDiscrepancy()
    rng = np.random.default_rng(0)
    images = tf.Variable(rng.normal(0.5, 0.2, (8, 3)), dtype="float32")
    texts = tf.constant(rng.normal(-0.5, 0.2, (8, 3)), "float32")
    gaps = []
    for _ in range(20):
        gaps.append(np.linalg.norm(np.mean(images, axis=0) - np.mean(texts, axis=0)))
        with tf.GradientTape() as tape:
            value = loss.encoder_loss(None, images, texts)
        images.assign_sub(2.0 * tape.gradient(value, images))
    assert gaps[-1] < gaps[0] / 2


def test_there_is_no_discriminator_to_train():
    with pytest.raises(NotImplementedError, match="uses_discriminator"):
        MaximumMeanDiscrepancy().discriminator_loss(None, np.zeros((1, 2)), np.zeros((1, 2)))
