"""The base of the losses that rank matching pairs above the others of a batch."""

import keras
import tensorflow as tf
from keras import ops


class MatchingLoss(keras.losses.Loss):
    """Base class of losses over the similarities of a batch of image-caption pairs.

    Called as `loss(y_true=image_ids, y_pred=similarities)`. Row n and column n are the pair n:
    image n and its caption. Any (n, m) whose image ids are equal is a positive too, such as two
    captions of one image, and is never taken for a negative. Subclasses implement
    `call(y_true, y_pred)`, which returns one loss for each pair.

    Args:
        reduction: How Keras reduces the losses of the pairs; the default is their mean.
        name: Name of the loss.

    Attributes:
        margin: By how much a pair has to be more similar than its negatives; 0 for a loss
            without a margin.
        pools: Whether `MITE` calls the loss with one list of images and captions, `[M]` and
            `[M, M]`, in place of pairs.

    Example:
        >>> class Distance(MatchingLoss):
        ...     def call(self, y_true, y_pred):
        ...         return 1 - ops.diagonal(y_pred)
        >>> float(Distance(reduction="sum")(ops.array([4, 8]), ops.array([[1.0, 0], [0, 0.5]])))
        0.5
    """

    margin: float = 0.0
    pools: bool = False

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None):
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def set_hardest_share(self, share: float) -> None:
        """Sets how much the hardest negative counts, in [0, 1]; called by a stage schedule.

        A loss that has no such share ignores it.
        """

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Computes the reduced loss, a float32 scalar; shape `[N]` with `reduction=None`.

        Args:
            y_true: Image ids, shape `[N]`, an integer dtype.
            y_pred: Similarities `[N, N]` of image n to caption m, any float dtype.
            sample_weight: Weights of the pairs, shape `[N]`.

        Raises:
            ValueError: If the shapes do not fit, or the ids are not integers.
        """
        image_ids, similarities = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        _check(image_ids, similarities)
        return super().__call__(_first_rows(image_ids), similarities, sample_weight)


def negative_mask(image_ids: tf.Tensor) -> tf.Tensor:
    """Marks in `[N, N]` the image-caption combinations whose image ids `[N]` differ.

    Example:
        >>> negative_mask(ops.array([7, 7, 9])).numpy().astype(int)
        array([[0, 0, 1],
               [0, 0, 1],
               [1, 1, 0]])
    """
    return ops.not_equal(image_ids[:, None], image_ids[None, :])


def _first_rows(image_ids: tf.Tensor) -> tf.Tensor:
    """Renames each image id to the first row that holds it, int32 `[N]`.

    Keras casts `y_true` to float32, where ids above 2**24 run into each other.
    """
    rows = ops.arange(ops.shape(image_ids)[0], dtype="int32")
    differs = negative_mask(image_ids)
    return ops.min(ops.where(differs, ops.shape(image_ids)[0], rows[None, :]), axis=1)


def _check(image_ids: tf.Tensor, similarities: tf.Tensor) -> None:
    sizes = {size for size in (*image_ids.shape, *similarities.shape) if size is not None}
    if len(image_ids.shape) != 1 or len(similarities.shape) != 2 or len(sizes) > 1:
        raise ValueError(
            "A matching loss takes image ids of shape [N] and similarities of shape [N, N]. "
            f"Received: y_true.shape={tuple(image_ids.shape)}, "
            f"y_pred.shape={tuple(similarities.shape)}"
        )
    if "int" not in keras.backend.standardize_dtype(image_ids.dtype):
        raise ValueError(
            "Image ids are compared exactly, so their dtype must be an integer one. "
            f"Received: y_true.dtype={keras.backend.standardize_dtype(image_ids.dtype)}"
        )
