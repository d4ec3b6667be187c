"""The symmetric InfoNCE loss."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.matching import MatchingLoss, negative_mask


@keras.saving.register_keras_serializable(package="mite_tf")
class InfoNCE(MatchingLoss):
    """Asks that each image pick its caption out of the batch, and each caption its image.

    The loss of pair n is the mean of two cross-entropies, over the softmax of row n and over
    that of column n. Further captions of the same image are left out of both sums, so that they
    are neither pushed away nor pulled in. A batch that holds a single image has loss 0.

    Args:
        temperature: Above 0; similarities are divided by it. The default is a choice for cosine
            similarities in batches of a hundred or so: CLIP starts a learnt one at 0.07.
        reduction: How Keras reduces the losses of the pairs; the default is their mean.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        - [van den Oord et al., 2018](https://arxiv.org/abs/1807.03748)
        - [Radford et al., 2021, CLIP](https://arxiv.org/abs/2103.00020) for both directions.

    Example:
        >>> similarities = ops.zeros((2, 2))
        >>> round(float(InfoNCE()(ops.array([4, 8]), similarities)), 4)  # log 2: a coin toss
        0.6931
    """

    def __init__(
        self,
        temperature: float = 0.05,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "infonce",
    ):
        super().__init__(reduction=reduction, name=name)
        if not temperature > 0:
            raise invalid_argument("temperature", temperature, "a number above 0")
        self.temperature = temperature

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each pair, `[N]`, of ids `[N]` and float32 similarities `[N, N]`."""
        pairs = ops.eye(ops.shape(y_pred)[0], dtype="bool")
        candidate = pairs | negative_mask(y_true)
        logits = ops.where(candidate, y_pred / self.temperature, -float("inf"))
        normalizers = ops.logsumexp(logits, axis=1) + ops.logsumexp(logits, axis=0)
        return normalizers / 2.0 - ops.diagonal(logits)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
