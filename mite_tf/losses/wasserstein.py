"""The adversarial loss of Wasserstein critics."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.adversarial import (
    AdversarialLoss,
    float32_pair,
    modality_logits,
    squared_gradient_norms,
)


@keras.saving.register_keras_serializable(package="mite_tf")
class Wasserstein(AdversarialLoss):
    """Trains the encoders to shorten the distance that a smooth critic measures.

    The discriminator is a critic: the mean of its outputs over the images minus that over the
    texts estimates the Wasserstein distance. It raises the difference, the encoders of both
    modalities lower it. A penalty holds the norm of its gradient near 1, at points drawn
    between embedding n of the images and embedding n of the texts. Where one modality has more
    embeddings, those beyond the other's count only in the means.

    Args:
        gradient_penalty: At least 0; weight of the mean of `(norm - 1)²`. The paper uses 10.
        seed: Seed of the points between the embeddings; None draws one.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Gulrajani et al., 2017](https://arxiv.org/abs/1704.00028)

    Example:
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> images, texts = ops.array([[3.0]]), ops.array([[1.0]])
        >>> loss = Wasserstein(seed=0)
        >>> float(loss.discriminator_loss(discriminator, images, texts))  # its slope is 1
        -2.0
        >>> float(loss.encoder_loss(discriminator, images, texts))
        2.0
    """

    def __init__(self, gradient_penalty: float = 10.0, seed: int | None = None):
        if not gradient_penalty >= 0:
            raise invalid_argument("gradient_penalty", gradient_penalty, "a number of at least 0")
        self.gradient_penalty = gradient_penalty
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def variables(self) -> list[Any]:
        return [self.seed_generator.state]

    def discriminator_loss(
        self, discriminator: keras.Model, image_embeddings: tf.Tensor, text_embeddings: tf.Tensor
    ) -> tf.Tensor:
        """Computes minus the critic's estimate of the distance, plus the gradient penalty."""
        images, texts = modality_logits(
            discriminator, image_embeddings, text_embeddings, training=True
        )
        loss = ops.mean(texts) - ops.mean(images)
        if self.gradient_penalty:
            points = self._points_between(*float32_pair(image_embeddings, text_embeddings))
            squares = squared_gradient_norms(discriminator, points)
            # The square root has no derivative at 0, where an untrained critic may well be.
            norms = ops.sqrt(ops.maximum(squares, keras.config.epsilon() ** 2))
            loss += self.gradient_penalty * ops.mean(ops.square(norms - 1.0))
        return loss

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes the critic's estimate of the distance."""
        images, texts = modality_logits(
            discriminator, image_embeddings, text_embeddings, training=False
        )
        return ops.mean(images) - ops.mean(texts)

    def _points_between(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        pairs = ops.minimum(ops.shape(images)[0], ops.shape(texts)[0])
        share = keras.random.uniform((pairs, 1), dtype="float32", seed=self.seed_generator)
        return share * images[:pairs] + (1.0 - share) * texts[:pairs]

    def get_config(self) -> dict[str, Any]:
        return {"gradient_penalty": self.gradient_penalty, "seed": self.seed}
