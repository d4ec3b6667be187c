"""What a similarity matrix says of a training, whatever the loss."""

import tensorflow as tf
from keras import ops

from mite_tf.losses.bidirectional_triplet import hardest_hinge
from mite_tf.losses.matching import negative_mask


def active_hinges(image_ids: tf.Tensor, similarities: tf.Tensor, margin: float = 0.2) -> tf.Tensor:
    """Computes the share of anchors whose hardest negative still violates the margin.

    Every image and every caption of the batch is an anchor once. A share near 0 says that the
    batch teaches nothing any more; one that stays at 1 while the loss stays at `2 * margin`
    says that the embeddings have collapsed.

    Args:
        image_ids: Shape `[N]`, an integer dtype.
        similarities: Shape `[N, N]`, any float dtype; images in rows, captions in columns.
        margin: The margin of the hinge.

    Returns:
        Scalar, float32, in [0, 1]; 0 when the batch holds a single image.

    Example:
        >>> similarities = ops.array([[0.9, 0.8], [0.1, 0.7]])
        >>> float(active_hinges(ops.array([4, 8]), similarities, margin=0.2))
        0.5
    """
    similarities = ops.cast(similarities, "float32")
    negative = negative_mask(ops.convert_to_tensor(image_ids))
    ways = (similarities, ops.transpose(similarities))
    hinges = [hardest_hinge(each, negative, margin) for each in ways]
    return ops.mean(ops.cast(ops.concatenate(hinges) > 0, "float32"))


def similarity_gap(image_ids: tf.Tensor, similarities: tf.Tensor) -> tf.Tensor:
    """Computes the mean similarity of the pairs minus that of all that do not match.

    Unlike a loss it means the same whatever the margin, the temperature and the batch size: near
    0, matching or not makes no difference, which is what collapsed embeddings look like.

    Takes what `active_hinges` takes; gives a float32 scalar, for cosine similarities in [-2, 2].

    Example:
        >>> similarities = ops.array([[0.9, 0.2], [0.0, 0.7]])
        >>> round(float(similarity_gap(ops.array([4, 8]), similarities)), 4)  # 0.8 - 0.1
        0.7
    """
    similarities = ops.cast(similarities, "float32")
    negative = ops.cast(negative_mask(ops.convert_to_tensor(image_ids)), "float32")
    others = ops.sum(negative * similarities) / ops.maximum(ops.sum(negative), 1.0)
    return ops.mean(ops.diagonal(similarities)) - others
