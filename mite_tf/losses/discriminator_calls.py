"""How the adversarial losses call a discriminator."""

import keras
import tensorflow as tf
from keras import ops


def float32_pair(
    image_embeddings: tf.Tensor, text_embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Casts the embeddings of both modalities to float32.

    Args:
        image_embeddings: Shape `[N, D]`, any float dtype.
        text_embeddings: Shape `[M, D]`, any float dtype.

    Returns:
        Both, float32.

    Raises:
        ValueError: If the shapes do not fit.
    """
    images, texts = ops.cast(image_embeddings, "float32"), ops.cast(text_embeddings, "float32")
    if len(images.shape) != 2 or len(texts.shape) != 2 or images.shape[1] != texts.shape[1]:
        raise ValueError(
            "An adversarial loss takes embeddings of shapes [N, D] and [M, D]. Received: "
            f"image_embeddings.shape={tuple(images.shape)}, "
            f"text_embeddings.shape={tuple(texts.shape)}"
        )
    return images, texts


def modality_logits(
    discriminator: keras.Model,
    image_embeddings: tf.Tensor,
    text_embeddings: tf.Tensor,
    training: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Calls the discriminator once, on the embeddings of both modalities.

    Args:
        discriminator: From embeddings `[N, D]` to logits `[N, 1]`.
        image_embeddings: Shape `[N, D]`, any float dtype.
        text_embeddings: Shape `[M, D]`, any float dtype.
        training: Whether the discriminator runs in training mode.

    Returns:
        The logits of the images, `[N]`, and of the texts, `[M]`, float32.

    Raises:
        ValueError: If the shapes do not fit, or the discriminator's output is not `[N, 1]`.
    """
    embeddings = ops.concatenate(float32_pair(image_embeddings, text_embeddings))
    logits = discriminator(embeddings, training=training)
    if len(logits.shape) != 2 or logits.shape[1] != 1:
        raise ValueError(
            "A discriminator gives one logit for each embedding, shape [N, 1]. "
            f"Received: an output of shape {tuple(logits.shape)}"
        )
    logits = ops.cast(logits[:, 0], "float32")
    images = ops.shape(image_embeddings)[0]
    return logits[:images], logits[images:]


def squared_gradient_norms(discriminator: keras.Model, embeddings: tf.Tensor) -> tf.Tensor:
    """Computes how steeply the logit rises at each embedding, in training mode.

    The result is differentiable in the discriminator's weights, as a penalty has to be.

    Args:
        discriminator: From embeddings `[N, D]` to logits `[N, 1]`, each row by itself.
        embeddings: Shape `[N, D]`, float32.

    Returns:
        The squared norm of the gradient of each logit in its own embedding, `[N]`, float32.
    """
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        logits = discriminator(embeddings, training=True)
    return ops.sum(ops.square(tape.gradient(logits, embeddings)), axis=1)
