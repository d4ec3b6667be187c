"""The soft triplet loss in one list of images and captions."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.errors import invalid_argument
from mite_tf.losses.matching import MatchingLoss, negative_mask

_NEVER = -1e3  # stands in for what does not count: far below any cosine, yet finite


@keras.saving.register_keras_serializable(package="mite_tf")
class PooledTriplet(MatchingLoss):
    """Asks of what belongs together that it be more similar than all else, image or caption.

    `BidirectionalTriplet` compares images with captions alone, so that nothing keeps a caption
    from being nearer to all captions than to its image. Here images and captions are items of one
    list. All items of other images are the negatives of an item, those of its own image its
    positives: for a caption the image and the other captions. So a similarity means the same
    whatever the modalities, as one gallery of pictures and texts needs.

    The loss of an item is three times the mean, over its positives, of the smooth hinge
    `t * log(1 + sum(exp((margin - positive + negative) / t)))`, as in `negatives="soft"` of
    `BidirectionalTriplet`; three, so that it adds up to what image to caption, caption to image
    and caption to caption come to. Without positives or negatives it is 0. Take two captions of
    each image or more (`Stage(captions_per_image=2)`).

    It is called with the image ids of all items, `[M]`, and their similarities, `[M, M]`.

    Args:
        margin: 0 or more.
        temperature: Above 0; how soft the hinge is.
        reduction: How Keras reduces the losses of the items; the default is their mean.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        Two images and a caption of each, in one plane.

        >>> items = ops.array([[1.0, 0], [0.6, 0.8], [0.8, 0.6], [0, 1.0]])
        >>> ids = ops.array([4, 8, 4, 8])
        >>> round(float(PooledTriplet()(ids, ops.matmul(items, ops.transpose(items)))), 4)
        0.4
    """

    pools = True

    def __init__(
        self,
        margin: float = 0.1,
        temperature: float = 0.05,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "pooled_triplet",
    ):
        super().__init__(reduction=reduction, name=name)
        if not margin >= 0:
            raise invalid_argument("margin", margin, "a number of 0 or more")
        if not temperature > 0:
            raise invalid_argument("temperature", temperature, "a number above 0")
        self.margin = margin
        self.temperature = temperature

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each item, `[M]`, of ids `[M]` and float32 similarities `[M, M]`."""
        negative = negative_mask(y_true)
        itself = ops.eye(ops.shape(y_pred)[0], dtype="bool")
        positive = ops.cast(ops.logical_not(negative | itself), y_pred.dtype)
        logits = ops.where(negative, y_pred, _NEVER) / self.temperature
        hardness = ops.logsumexp(logits, axis=1, keepdims=True)
        hinges = ops.softplus((self.margin - y_pred) / self.temperature + hardness)
        count = ops.maximum(ops.sum(positive, axis=1), 1.0)
        return 3.0 * self.temperature * ops.sum(hinges * positive, axis=1) / count

    def get_config(self) -> dict[str, Any]:
        own = {"margin": self.margin, "temperature": self.temperature}
        return {**super().get_config(), **own}
