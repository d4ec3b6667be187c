"""What holds for every adversarial loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import (
    AdversarialLoss,
    EntropyMaximization,
    FlippedLabels,
    GradientReversal,
    MaximumMeanDiscrepancy,
    Wasserstein,
)
from tests.losses.conftest import linear

WITH_DISCRIMINATOR = [
    FlippedLabels(label_smoothing=0.1, r1_penalty=2.0),
    GradientReversal(label_smoothing=0.05, r1_penalty=1.0),
    EntropyMaximization(label_smoothing=0.1, r1_penalty=0.5),
    Wasserstein(gradient_penalty=5.0, seed=3),
]
ALL = [*WITH_DISCRIMINATOR, MaximumMeanDiscrepancy(bandwidths=(0.5, 1.0))]


def variants(losses):
    return pytest.mark.parametrize("loss", losses, ids=lambda loss: type(loss).__name__)


def nonlinear(dropout=0.0):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dropout(dropout), keras.layers.Dense(1)]
    discriminator = keras.Sequential(layers)
    discriminator.build((None, 3))
    return discriminator


def embeddings(images=4, texts=4):
    rng = np.random.default_rng(1)
    return (
        tf.constant(rng.normal(0.5, 1.0, (images, 3)), "float32"),
        tf.constant(rng.normal(-0.5, 1.0, (texts, 3)), "float32"),
    )


def encoder_gradients(loss, discriminator, images, texts):
    with tf.GradientTape() as tape:
        tape.watch([images, texts])
        value = loss.encoder_loss(discriminator, images, texts)
    return tape.gradient(value, [images, texts])


@variants(ALL)
def test_survives_serialisation(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()


@variants(ALL)
def test_losses_are_float32_scalars_on_half_precision_embeddings(loss):
    images, texts = embeddings()
    images, texts = tf.cast(images, "float16"), tf.cast(texts, "float16")
    exact = tf.cast(images, "float32"), tf.cast(texts, "float32")
    discriminator = linear([0.5, -1.0, 2.0], 0.25)

    for method in (loss.encoder_loss, loss.discriminator_loss)[: 1 + loss.uses_discriminator]:
        value = method(discriminator, images, texts)
        assert (value.dtype, value.shape) == ("float32", ())
        # A linear discriminator is as steep at one point as at another.
        np.testing.assert_allclose(value, method(discriminator, *exact), rtol=1e-6)


@variants(WITH_DISCRIMINATOR)
def test_a_half_precision_discriminator_gives_nearly_the_same_float32_losses(loss):
    images, texts = embeddings()
    half, full = (linear([0.5, -1.0, 2.0], 0.25, dtype) for dtype in ("mixed_float16", "float32"))
    for method in (loss.encoder_loss, loss.discriminator_loss):
        value = method(half, images, texts)
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, method(full, images, texts), rtol=5e-3)


@variants([FlippedLabels(), GradientReversal(), Wasserstein()])
def test_encoder_step_lowers_the_logits_of_images_and_raises_those_of_texts(loss):
    discriminator, (images, texts) = nonlinear(), embeddings()
    image_gradient, text_gradient = encoder_gradients(loss, discriminator, images, texts)
    lower = discriminator(images - 0.01 * image_gradient) - discriminator(images)
    higher = discriminator(texts - 0.01 * text_gradient) - discriminator(texts)
    assert (lower.numpy() < 0).all()
    assert (higher.numpy() > 0).all()


def test_entropy_step_brings_every_logit_closer_to_0():
    discriminator, (images, texts) = nonlinear(), embeddings()
    gradients = encoder_gradients(EntropyMaximization(), discriminator, images, texts)
    for points, gradient in zip((images, texts), gradients, strict=True):
        closer = abs(discriminator(points - 0.01 * gradient)) - abs(discriminator(points))
        assert (closer.numpy() < 0).all()


@variants(ALL)
def test_encoder_gradient_reaches_both_modalities(loss):
    for gradient in encoder_gradients(loss, nonlinear(), *embeddings()):
        assert (np.abs(gradient).sum(axis=1) > 0).all()


@variants(WITH_DISCRIMINATOR)
def test_discriminator_learns_to_tell_the_modalities(loss):
    discriminator, (images, texts) = nonlinear(), embeddings()
    gap = tf.reduce_mean(discriminator(images)) - tf.reduce_mean(discriminator(texts))
    optimizer = keras.optimizers.Adam(0.03)
    for _ in range(8):
        with tf.GradientTape() as tape:
            value = loss.discriminator_loss(discriminator, images, texts)
        gradients = tape.gradient(value, discriminator.trainable_variables)
        optimizer.apply(gradients, discriminator.trainable_variables)
    assert tf.reduce_mean(discriminator(images)) - tf.reduce_mean(discriminator(texts)) > gap


@variants(WITH_DISCRIMINATOR)
def test_one_call_sees_both_modalities_in_the_right_mode(loss):
    discriminator, calls = linear([1.0, 0.0, 0.0]), []

    def recorded(inputs, training):
        calls.append((inputs.shape[0], training))
        return discriminator(inputs, training=training)

    loss.encoder_loss(recorded, *embeddings(images=3, texts=2))
    assert calls == [(5, False)]
    calls.clear()
    loss.discriminator_loss(recorded, *embeddings(images=3, texts=2))
    # The second call is the penalty's; Wasserstein draws its points between two pairs.
    assert calls == [(5, True), (2 if isinstance(loss, Wasserstein) else 5, True)]


@variants(WITH_DISCRIMINATOR)
def test_dropout_is_off_in_the_encoder_loss_alone(loss):
    discriminator, batch = nonlinear(dropout=0.5), embeddings()
    encoder = [float(loss.encoder_loss(discriminator, *batch)) for _ in range(2)]
    trained = [float(loss.discriminator_loss(discriminator, *batch)) for _ in range(2)]
    assert encoder[0] == encoder[1]
    assert trained[0] != trained[1]


@variants([*WITH_DISCRIMINATOR, MaximumMeanDiscrepancy()])
def test_repeating_the_images_changes_nothing(loss):
    # Each modality weighs one half, whatever its number of embeddings.
    images, texts = embeddings()
    twice = tf.concat([images, images], 0)
    discriminator = linear([0.5, -1.0, 2.0], 0.25)
    for method in (loss.encoder_loss, loss.discriminator_loss)[: 1 + loss.uses_discriminator]:
        once = method(discriminator, images, texts)
        np.testing.assert_allclose(method(discriminator, twice, texts), once, rtol=1e-5)


@variants(ALL)
def test_compiles_once_for_batches_of_any_size(loss):
    discriminator, traces = nonlinear(), []
    spec = tf.TensorSpec([None, 3], "float32")

    @tf.function(input_signature=[spec, spec])
    def step(images, texts):
        traces.append(1)
        with tf.GradientTape() as tape:
            if loss.uses_discriminator:
                value = loss.discriminator_loss(discriminator, images, texts)
            else:
                tape.watch(images)
                value = loss.encoder_loss(None, images, texts)
        weights = discriminator.trainable_variables if loss.uses_discriminator else [images]
        return value, tape.gradient(value, weights)

    for sizes in ((4, 4), (1, 1), (2, 3)):
        value, gradients = step(*embeddings(*sizes))
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert len(traces) == 1


@variants(ALL)
def test_shapes_that_do_not_fit_are_named(loss):
    with pytest.raises(ValueError, match=r"\[N, D\] and \[M, D\].*\(4, 3\).*\(4, 2\)"):
        loss.encoder_loss(linear([1.0, 1.0, 1.0]), np.zeros((4, 3)), np.zeros((4, 2)))


@variants(WITH_DISCRIMINATOR)
def test_a_discriminator_with_two_outputs_is_refused(loss):
    two_outputs = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"one logit.*\(8, 2\)"):
        loss.encoder_loss(two_outputs, *embeddings())


def test_the_interface_asks_a_variant_for_three_methods():
    methods = {"discriminator_loss", "encoder_loss", "get_config"}
    assert AdversarialLoss.__abstractmethods__ == methods
    assert all(loss.uses_discriminator for loss in WITH_DISCRIMINATOR)
    assert not MaximumMeanDiscrepancy.uses_discriminator
