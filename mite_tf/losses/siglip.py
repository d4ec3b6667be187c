"""The pairwise sigmoid loss of SigLIP."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.matching import MatchingLoss, negative_mask


@keras.saving.register_keras_serializable(package="mite_tf")
class SigLIP(MatchingLoss):
    """Asks of each combination of image and caption whether the two are a pair.

    With logits `s / temperature + bias`, the loss adds `-log sigmoid(logit)` for the pairs and
    `-log sigmoid(-logit)` for the negatives. A negative is shared evenly by the pair of its
    image and the pair of its caption, so that the mean over the batch is the paper's loss.

    Further captions of the same image are left out: counted as positives they would shift the
    balance of one positive to N - 1 negatives that the bias stands for, by as much as a batch
    happens to repeat its images.

    The paper learns temperature and bias; here they are constants, at the paper's initial
    values (scale exp(log 10) = 10, bias -10).

    Args:
        temperature: Above 0; similarities are divided by it.
        bias: Added to the logits; below 0 since most combinations do not match.
        reduction: How Keras reduces the losses of the pairs; the default is their mean.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        [Zhai et al., 2023](https://arxiv.org/abs/2303.15343)

    Example:
        >>> similarities = ops.array([[1.0, 0.0], [0.0, 1.0]])
        >>> round(float(SigLIP()(ops.array([4, 8]), similarities)), 4)  # log 2 + log(1 + e^-10)
        0.6932
    """

    def __init__(
        self,
        temperature: float = 0.1,
        bias: float = -10.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "siglip",
    ):
        super().__init__(reduction=reduction, name=name)
        if not temperature > 0:
            raise invalid_argument("temperature", temperature, "a number above 0")
        self.temperature = temperature
        self.bias = bias

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each pair, `[N]`, of ids `[N]` and float32 similarities `[N, N]`."""
        logits = y_pred / self.temperature + self.bias
        negatives = ops.where(negative_mask(y_true), ops.softplus(logits), 0.0)
        shared = (ops.sum(negatives, axis=0) + ops.sum(negatives, axis=1)) / 2.0
        return ops.softplus(-ops.diagonal(logits)) + shared

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature, "bias": self.bias}
