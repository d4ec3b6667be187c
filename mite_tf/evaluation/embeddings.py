"""The three arrays that every evaluation starts from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.retrieval.cosine import unit_rows

_BLOCK = 1024  # captions compared at once


class Embeddings(NamedTuple):
    """Images `[I, D]` and captions `[C, D]` in one space, and each caption's image, a row `[C]`.

    An image may have any number of captions; one without any is only a distractor. A tuple, so
    `evaluate_embeddings(*embeddings)` works.
    """

    images: NDArray
    captions: NDArray
    caption_image: NDArray

    def first(self, dimensions: int) -> "Embeddings":
        """Returns the first values of each embedding, which whoever compares them scales anew.

        Raises:
            MiteError: If there are fewer of them.

        Example:
            >>> Embeddings(np.eye(3), np.eye(3), np.arange(3)).first(2).images.shape
            (3, 2)
        """
        size = self.images.shape[1]
        if not 1 <= dimensions <= size:
            raise MiteError(f"Embeddings have {size} dimensions; {dimensions} were asked for.")
        return self._replace(
            images=self.images[:, :dimensions], captions=self.captions[:, :dimensions]
        )


def unit_embeddings(
    image_embeddings: ArrayLike, caption_embeddings: ArrayLike, caption_image: ArrayLike
) -> Embeddings:
    """Checks embeddings and scales them to length 1, as float32, with int64 rows.

    A zero row stays zero: it is similar to nothing, so it is ranked last instead of stopping
    the evaluation of a model whose training went wrong.

    Raises:
        MiteError: If shapes do not fit together, a value is not finite, or a row is not there.
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
    """
    matching = np.empty(len(embeddings.captions), np.float32)
    for start in range(0, len(matching), _BLOCK):
        block = slice(start, start + _BLOCK)
        images = embeddings.images[embeddings.caption_image[block]]
        captions = embeddings.captions[block]
        matching[block] = np.einsum("cd,cd->c", images, captions, dtype=np.float64)
    return matching


def draw_captions(embeddings: Embeddings, *, max_images: int, seed: int) -> NDArray[np.int64]:
    """Draws up to `max_images` images that have captions, and one of these each, both at random.

    Returns:
        Rows of these captions, in random order, `[min(images with captions, max_images)]`.
    """
    shuffled = np.random.default_rng(seed).permutation(len(embeddings.caption_image))
    _, first = np.unique(embeddings.caption_image[shuffled], return_index=True)
    # In order of appearance, the first captions belong to images in random order.
    return shuffled[np.sort(first)[:max_images]]


def one_caption_each(
    embeddings: Embeddings, *, max_images: int, seed: int
) -> tuple[NDArray, NDArray]:
    """Draws as `draw_captions`.

    Returns:
        Images and captions, both of shape `[min(images with captions, max_images), D]`, row
        by row a matching pair.
    """
    drawn = draw_captions(embeddings, max_images=max_images, seed=seed)
    return embeddings.images[embeddings.caption_image[drawn]], embeddings.captions[drawn]
