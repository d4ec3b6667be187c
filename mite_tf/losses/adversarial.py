"""The interface of the losses that make the embeddings of two modalities alike."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf


class AdversarialLoss(ABC):
    """Base class of what the modality discriminator and the encoders minimise in their contest.

    A discriminator is any Keras model from embeddings `[N, D]` to logits `[N, 1]`, positive
    where it takes an embedding for an image's, negative where for a caption's. It sees the
    images and the captions of a batch in one call. Both losses are float32 scalars, whatever
    the dtype of the embeddings, and each modality weighs one half in them, whatever its number
    of embeddings.

    To add a variant: subclass, implement both losses, return the constructor's arguments from
    `get_config`, and decorate the class with
    `@keras.saving.register_keras_serializable(package="mite_tf")`; to use it from configuration
    files, name it in `mite_tf/losses/by_name.py`. A variant whose discriminator learns by
    cross-entropy starts from `ModalityClassification` and adds the encoders' loss alone.

    Attributes:
        uses_discriminator: False for a variant that compares the embeddings directly: its
            `encoder_loss` then accepts None for a discriminator, and its `discriminator_loss`
            raises.
    """

    uses_discriminator: ClassVar[bool] = True

    @abstractmethod
    def discriminator_loss(
        self,
        discriminator: keras.Model,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes what the discriminator minimises, penalties included.

        Args:
            discriminator: Called with `training=True`.
            image_embeddings: Shape `[N, D]`, any float dtype, cut off from the encoders by
                `stop_gradient`.
            text_embeddings: Shape `[M, D]`, likewise.

        Returns:
            Scalar, float32.
        """

    @abstractmethod
    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes what the encoders minimise.

        Args:
            discriminator: Called with `training=False`; its weights are for the caller to leave
                as they are.
            image_embeddings: Shape `[N, D]`, any float dtype.
            text_embeddings: Shape `[M, D]`, likewise.

        Returns:
            Scalar, float32.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as plain values."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds the loss that `get_config` described."""
        return cls(**config)
