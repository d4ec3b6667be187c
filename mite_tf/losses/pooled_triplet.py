"""The soft triplet loss over negatives of both modalities."""

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

    `BidirectionalTriplet` compares an image with captions alone and a caption with images alone,
    so that nothing keeps a caption from being nearer to all captions than to its image. Here the
    negatives of every image and caption are the other images and the captions of other images,
    in one sum, and captions of one image are positives of each other. A similarity then means the
    same whatever the modalities, as one gallery of pictures and texts needs.

    The loss of pair n adds three hinges, each smooth as with `negatives="soft"` there,
    `t * log(1 + sum(exp((margin - positive + negative) / t)))`: of the image with its caption, of
    the caption with its image, and of the caption with the other captions of its image, on
    average; without others, that one is 0. An image that a batch holds with several captions
    counts as one negative. Take two captions of each image or more
    (`Stage(captions_per_image=2)`).

    It is called with similarities `[N, N, 3]`, see `similarities`; with `[N, N]` it is
    `BidirectionalTriplet(negatives="soft")`, but for images that come with several captions.

    Args:
        margin: 0 or more.
        temperature: Above 0; how soft the hinge is.
        reduction: How Keras reduces the losses of the pairs; the default is their mean.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        Two pairs that are right among images and captions each, and wrong in one gallery.

        >>> images, captions = ops.array([[1.0, 0], [0.8, 0.6]]), ops.array([[0.0, 1], [-0.6, 0.8]])
        >>> loss, ids = PooledTriplet(), ops.array([4, 8])
        >>> similarities = loss.similarities(images, captions)
        >>> float(loss(ids, similarities)) > float(loss(ids, similarities[..., 0]))
        True
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

    def similarities(self, images: tf.Tensor, captions: tf.Tensor) -> tf.Tensor:
        """Computes `[N, N, 3]`: images to captions, images to images, captions to captions."""
        pairs = (images, captions), (images, images), (captions, captions)
        return ops.stack([ops.matmul(a, ops.transpose(b)) for a, b in pairs], axis=-1)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Computes the loss of each pair, `[N]`, of ids `[N]` and float32 similarities."""
        negative = negative_mask(y_true)
        siblings = ops.logical_not(negative | ops.eye(ops.shape(negative)[0], dtype="bool"))
        # Of an image's rows, one for each of its captions, each counts by its share.
        rows = ops.sum(ops.cast(ops.logical_not(negative), "float32"), axis=1)
        once = self.temperature * ops.log(rows)[None, :]
        to_captions = y_pred if len(y_pred.shape) == 2 else y_pred[..., 0]
        of_images = [to_captions]
        of_captions = [ops.transpose(to_captions) - once]
        if len(y_pred.shape) == 3:
            of_images.append(y_pred[..., 1] - once)
            of_captions.append(y_pred[..., 2])
        image_hardness = self._hardness(of_images, negative)
        caption_hardness = self._hardness(of_captions, negative)
        own = ops.diagonal(to_captions)
        loss = self._hinge(own, image_hardness) + self._hinge(own, caption_hardness)
        if len(y_pred.shape) == 3:
            hinges = self._hinge(y_pred[..., 2], caption_hardness[:, None])
            counts = ops.sum(ops.cast(siblings, "float32"), axis=1)
            loss += ops.sum(ops.where(siblings, hinges, 0.0), axis=1) / ops.maximum(counts, 1.0)
        return loss

    def _hardness(self, similarities: list[tf.Tensor], negative: tf.Tensor) -> tf.Tensor:
        logits = [ops.where(negative, each, _NEVER) / self.temperature for each in similarities]
        return ops.logsumexp(ops.concatenate(logits, axis=1), axis=1)

    def _hinge(self, positive: tf.Tensor, hardness: tf.Tensor) -> tf.Tensor:
        softly = ops.softplus((self.margin - positive) / self.temperature + hardness)
        return self.temperature * softly

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "margin": self.margin, "temperature": self.temperature
        }  # fmt: skip
