"""The three arrays that every evaluation starts from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.retrieval.cosine import unit_rows

_BLOCK = 1024  # captions compared at once


class Embeddings(NamedTuple):
    """Images and captions in one space, and which caption belongs to which image.

    A tuple, so `evaluate_embeddings(*embeddings)` works.

    Attributes:
        images: Float array of shape `[I, D]`.
        captions: Float array of shape `[C, D]`.
        caption_image: Integer array of shape `[C]`: the row of each caption's image. An image
            may have any number of captions; one without any is only a distractor.
    """

    images: NDArray
    captions: NDArray
    caption_image: NDArray


def unit_embeddings(
    image_embeddings: ArrayLike, caption_embeddings: ArrayLike, caption_image: ArrayLike
) -> Embeddings:
    """Checks embeddings and scales them to length 1, which cosine similarity compares.

    A zero row stays zero: it is similar to nothing, so it is ranked last instead of stopping
    the evaluation of a model whose training went wrong.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`.
        caption_embeddings: Real numbers of shape `[C, D]`, C at least 1.
        caption_image: Integers of shape `[C]` in `[0, I)`.

    Returns:
        Float32 embeddings of length 1 and int64 rows.

    Raises:
        MiteError: If shapes do not fit together, a value is not finite, or a row is not there.

    Example:
        >>> unit_embeddings([[2.0, 0.0]], [[0.0, 3.0]], [0]).captions.tolist()
        [[0.0, 1.0]]
    """
    images = unit_rows(image_embeddings, name="image embeddings", allow_zero=True)
    captions = unit_rows(caption_embeddings, name="caption embeddings", allow_zero=True)
    rows = np.asarray(caption_image)
    if images.shape[1] != captions.shape[1]:
        raise MiteError(
            f"Images and captions must share one dimension; image embeddings have "
            f"{images.shape[1]}, caption embeddings {captions.shape[1]}."
        )
    if len(captions) == 0:
        raise MiteError("There are no captions, so there is nothing to evaluate.")
    if rows.shape != (len(captions),) or not np.issubdtype(rows.dtype, np.integer):
        raise MiteError(
            f"caption_image must hold one integer per caption, shape ({len(captions)},); "
            f"received {rows.dtype} of shape {rows.shape}."
        )
    wrong = np.flatnonzero((rows < 0) | (rows >= len(images)))
    if len(wrong):
        raise MiteError(
            f"caption_image, entry {wrong[0]}: image row {rows[wrong[0]]} is not among the "
            f"{len(images)} images (rows 0 to {len(images) - 1})."
        )
    return Embeddings(images, captions, rows.astype(np.int64))


def matching_similarity(embeddings: Embeddings) -> NDArray[np.float32]:
    """Computes the cosine similarity `[C]` of every caption with its own image.

    It takes `unit_embeddings`, and gives the same bits as `mite_tf.retrieval.cosine.similarity`.

    Example:
        >>> matching_similarity(unit_embeddings([[1, 0], [0, 1]], [[1, 0], [1, 0]], [0, 1]))
        array([1., 0.], dtype=float32)
    """
    matching = np.empty(len(embeddings.captions), np.float32)
    for start in range(0, len(matching), _BLOCK):
        block = slice(start, start + _BLOCK)
        images = embeddings.images[embeddings.caption_image[block]]
        captions = embeddings.captions[block]
        matching[block] = np.einsum("cd,cd->c", images, captions, dtype=np.float64)
    return matching


def one_caption_each(
    embeddings: Embeddings, *, max_images: int, seed: int
) -> tuple[NDArray, NDArray]:
    """Draws images at random, each with one of its captions drawn at random.

    Args:
        embeddings: Images and captions.
        max_images: At most this many images are drawn; those without captions never.
        seed: Decides the draw.

    Returns:
        Images and captions, both of shape `[min(images with captions, max_images), D]`, row
        by row a matching pair.

    Example:
        >>> pairs = Embeddings(np.eye(3), np.eye(3)[[0, 0, 2]], np.array([0, 0, 2]))
        >>> images, captions = one_caption_each(pairs, max_images=9, seed=0)
        >>> len(images), bool((images == captions).all())
        (2, True)
    """
    shuffled = np.random.default_rng(seed).permutation(len(embeddings.caption_image))
    _, first = np.unique(embeddings.caption_image[shuffled], return_index=True)
    # In order of appearance, the first captions belong to images in random order.
    drawn = shuffled[np.sort(first)[:max_images]]
    return embeddings.images[embeddings.caption_image[drawn]], embeddings.captions[drawn]
