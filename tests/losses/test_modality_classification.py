"""The variants whose discriminator is a classifier, against numbers computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import EntropyMaximization, FlippedLabels, GradientReversal
from tests.losses.conftest import linear

VARIANTS = [FlippedLabels, GradientReversal, EntropyMaximization]


IDENTITY = linear([1.0])  # The logit is the embedding.
IMAGES, TEXTS = tf.constant([[2.0]]), tf.constant([[-1.0]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_discriminator_minimises_the_smoothed_cross_entropy(variant):
    # softplus(2) = 2.126928, softplus(-1) = 0.313262; labels 0.9 and 0.1:
    # ((2.126928 - 0.9 * 2) + (0.313262 + 0.1 * 1)) / 2 = (0.326928 + 0.413262) / 2
    value = variant(label_smoothing=0.1).discriminator_loss(IDENTITY, IMAGES, TEXTS)
    np.testing.assert_allclose(value, 0.370095, atol=1e-6)
    # Labels 1 and 0: (0.126928 + 0.313262) / 2
    value = variant(label_smoothing=0.0).discriminator_loss(IDENTITY, IMAGES, TEXTS)
    np.testing.assert_allclose(value, 0.220095, atol=1e-6)


def test_flipped_labels_answer_with_the_other_modality():
    # Labels 0.1 and 0.9: ((2.126928 - 0.1 * 2) + (0.313262 + 0.9 * 1)) / 2
    value = FlippedLabels(label_smoothing=0.1).encoder_loss(IDENTITY, IMAGES, TEXTS)
    np.testing.assert_allclose(value, 1.570095, atol=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_gradient_reversal_reverses_the_discriminators_gradient(label_smoothing):
    keras.utils.set_random_seed(0)
    discriminator = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    points = tf.random.normal((5, 3)), tf.random.normal((4, 3))
    loss = GradientReversal(label_smoothing=label_smoothing)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(points)
        encoders = loss.encoder_loss(discriminator, *points)
        classifier = loss.discriminator_loss(discriminator, *points)
    for reversed_, plain in zip(
        tape.gradient(encoders, points), tape.gradient(classifier, points), strict=True
    ):
        np.testing.assert_allclose(reversed_, -plain, rtol=1e-6)
        assert np.abs(plain).max() > 0


def test_penalties_are_the_discriminators_alone():
    for variant in VARIANTS:
        plain, penalised = variant(r1_penalty=0.0), variant(r1_penalty=9.0)
        assert plain.encoder_loss(IDENTITY, IMAGES, TEXTS) == penalised.encoder_loss(
            IDENTITY, IMAGES, TEXTS
        )


def test_entropy_loss_is_what_a_coin_toss_has_more():
    # Odds of 3 to 1 either way: H = -3/4 log(3/4) - 1/4 log(1/4) = 0.562335; log 2 = 0.693147.
    odds = tf.constant([[np.log(3.0)]], "float32")
    value = EntropyMaximization().encoder_loss(IDENTITY, odds, -odds)
    np.testing.assert_allclose(value, 0.130812, atol=1e-6)
    zero = tf.zeros((1, 1))
    assert abs(float(EntropyMaximization().encoder_loss(IDENTITY, zero, zero))) < 1e-7


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_discriminator_that_is_very_sure_leaves_everything_finite(variant):
    loss, points = variant(), (tf.constant([[1e4]]), tf.constant([[-1e4]]))
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = loss.encoder_loss(IDENTITY, *points)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(value, points))


def test_flipped_labels_keep_their_gradient_where_gradient_reversal_loses_it():
    # The discriminator is sure and right. One embedding a modality, so each weighs 1/2:
    # flipped, sigmoid(20) - 0 = 1, half of it; reversed, -(sigmoid(20) - 1) = 2e-9.
    images, texts = tf.constant([[20.0]]), tf.constant([[-20.0]])
    slopes = {}
    for variant in (FlippedLabels, GradientReversal):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = variant(label_smoothing=0.0).encoder_loss(IDENTITY, images, texts)
        slopes[variant] = float(tape.gradient(value, images)[0, 0])
    assert slopes[FlippedLabels] == pytest.approx(0.5)
    assert slopes[GradientReversal] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_r1_penalty_of_a_linear_discriminator(variant):
    # The gradient of x·w in x is w everywhere: the penalty is 6/2 * (3² + 4²) = 75, and its
    # gradient in w is 6 w.
    discriminator = linear([3.0, 4.0])
    points = tf.random.stateless_normal((3, 2), (0, 1)), tf.random.stateless_normal((2, 2), (0, 2))
    values, gradients = [], []
    for r1_penalty in (0.0, 6.0):
        with tf.GradientTape() as tape:
            loss = variant(r1_penalty=r1_penalty)
            values.append(loss.discriminator_loss(discriminator, *points))
        gradients.append(tape.gradient(values[-1], discriminator.trainable_variables)[0])
    np.testing.assert_allclose(values[1] - values[0], 75.0, rtol=1e-5)
    np.testing.assert_allclose(gradients[1] - gradients[0], [[18.0], [24.0]], rtol=1e-5)
