"""The distance between the modalities that needs no discriminator."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.adversarial import AdversarialLoss, float32_pair


@keras.saving.register_keras_serializable(package="mite_tf")
class MaximumMeanDiscrepancy(AdversarialLoss):
    """Trains the encoders to close the gap between the modalities' kernel means.

    The loss is the squared maximum mean discrepancy, in its biased estimate: the means over all
    pairs of embeddings, each with itself included. Unlike the unbiased one it is never negative
    (rounding aside), is 0 when both modalities hold the same embeddings, and is defined for a
    batch of one.

    Args:
        bandwidths: Above 0, at least one. The kernel is the mean of
            `exp(-distance² / (2 * bandwidth²))` over them. They are fixed, since embeddings of
            unit norm lie at most 2 apart; the default spans that range.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Gretton et al., 2012](https://jmlr.org/papers/v13/gretton12a.html), the biased statistic.

    Example:
        >>> images, texts = ops.array([[1.0, 0.0]]), ops.array([[0.0, 1.0]])
        >>> loss = MaximumMeanDiscrepancy(bandwidths=(1.0,))
        >>> round(float(loss.encoder_loss(None, images, texts)), 4)  # 2 - 2 / e
        1.2642
    """

    uses_discriminator: ClassVar[bool] = False

    def __init__(self, bandwidths: Sequence[float] = (0.5, 1.0, 2.0)):
        if not bandwidths or not all(bandwidth > 0 for bandwidth in bandwidths):
            raise invalid_argument("bandwidths", bandwidths, "at least one number, each above 0")
        self.bandwidths = tuple(bandwidths)

    def discriminator_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Raises NotImplementedError: a loss of 0 would hide that nothing is being trained."""
        raise NotImplementedError(
            "MaximumMeanDiscrepancy compares the embeddings directly and trains no discriminator. "
            "Call discriminator_loss only where `uses_discriminator` is True."
        )

    def encoder_loss(
        self,
        discriminator: keras.Model | None,
        image_embeddings: tf.Tensor,
        text_embeddings: tf.Tensor,
    ) -> tf.Tensor:
        """Computes the squared discrepancy; the discriminator is ignored."""
        images, texts = float32_pair(image_embeddings, text_embeddings)
        return (
            self._mean_kernel(images, images)
            + self._mean_kernel(texts, texts)
            - 2.0 * self._mean_kernel(images, texts)
        )

    def _mean_kernel(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        x_squares = ops.sum(ops.square(x), axis=1)[:, None]
        y_squares = ops.sum(ops.square(y), axis=1)[None, :]
        squared_distances = x_squares + y_squares - 2.0 * ops.matmul(x, ops.transpose(y))
        kernels = [ops.mean(ops.exp(-squared_distances / (2.0 * b**2))) for b in self.bandwidths]
        return sum(kernels) / len(kernels)

    def get_config(self) -> dict[str, Any]:
        return {"bandwidths": list(self.bandwidths)}
