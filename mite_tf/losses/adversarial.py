"""The interface of the losses that make the embeddings of two modalities alike."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf
from keras import ops


class AdversarialLoss(ABC):
    """Base class of what the modality discriminator and the encoders minimise in their contest.

    A discriminator is any Keras model from embeddings `[N, D]` to logits `[N, 1]`, positive
    where it takes an embedding for an image's. It sees the images and the captions of a batch in
    one call. Both losses are float32 scalars whatever the dtype of the embeddings, and each
    modality weighs one half in them, whatever its number of embeddings.

    To add a variant: subclass, implement both losses, return the constructor's arguments from
    `get_config`, and decorate the class with
    `@keras.saving.register_keras_serializable(package="mite_tf")`; to use it from configuration
    files, name it in `mite_tf/losses/by_name.py`. A variant whose discriminator learns by
    cross-entropy starts from `ModalityClassification` and adds the encoders' loss alone.

    A variant that compares the embeddings directly sets `uses_discriminator` to False: its
    `encoder_loss` accepts None for a discriminator, and its `discriminator_loss` raises.

    Example:
        >>> class MeanDistance(AdversarialLoss):
        ...     uses_discriminator = False
        ...     def discriminator_loss(self, discriminator, image_embeddings, text_embeddings):
        ...         raise NotImplementedError
        ...     def encoder_loss(self, discriminator, image_embeddings, text_embeddings):
        ...         images, texts = float32_pair(image_embeddings, text_embeddings)
        ...         return ops.norm(ops.mean(images, axis=0) - ops.mean(texts, axis=0))
        ...     def get_config(self):
        ...         return {}
        >>> float(MeanDistance().encoder_loss(None, ops.array([[3.0, 4.0]]), ops.zeros((5, 2))))
        5.0
    """

    uses_discriminator: ClassVar[bool] = True

    @property
    def variables(self) -> list[Any]:
        """Variables of the loss itself, such as a seed's state; a checkpoint keeps them."""
        return []

    @abstractmethod
    def discriminator_loss(
        self, discriminator: keras.Model, image_embeddings: tf.Tensor, text_embeddings: tf.Tensor
    ) -> tf.Tensor:
        """Computes what the discriminator minimises, penalties included, as a float32 scalar.

        Args:
            discriminator: Called with `training=True`.
            image_embeddings: Shape `[N, D]`, any float dtype, cut off by `stop_gradient`.
            text_embeddings: Shape `[M, D]`, likewise.
        """

    @abstractmethod
    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes what the encoders minimise, as a float32 scalar.

        Args:
            discriminator: Called with `training=False`; the caller leaves its weights alone.
            image_embeddings: Shape `[N, D]`, any float dtype.
            text_embeddings: Shape `[M, D]`, likewise.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as plain values."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds the loss that `get_config` described."""
        return cls(**config)


def float32_pair(
    image_embeddings: tf.Tensor, text_embeddings: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Casts the embeddings of both modalities, `[N, D]` and `[M, D]`, to float32.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> images, texts = float32_pair(ops.zeros((2, 4), "float16"), ops.zeros((3, 4)))
        >>> images.dtype.name, texts.shape
        ('float32', TensorShape([3, 4]))
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

    Returns:
        The logits of the images, `[N]`, and of the texts, `[M]`, float32.

    Raises:
        ValueError: If the shapes do not fit, or the discriminator's output is not `[N, 1]`.

    Example:
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> images, texts = ops.array([[1.0, 2.0]]), ops.array([[0.0, 0.0], [0.0, -1.0]])
        >>> [z.numpy().tolist() for z in modality_logits(discriminator, images, texts, False)]
        [[3.0], [0.0, -1.0]]
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

    Returns:
        The squared norm of the gradient of each logit in its own embedding, `[N]`, float32.

    Example:
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> squared_gradient_norms(discriminator, ops.zeros((1, 3))).numpy().tolist()
        [3.0]
    """
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        logits = discriminator(embeddings, training=True)
    return ops.sum(ops.square(tape.gradient(logits, embeddings)), axis=1)
