"""How the right answers compare with other candidates: ranks, rivals and near misses."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import Embeddings, matching_similarity, unit_embeddings
from mite_tf.retrieval import HubCorrection
from mite_tf.retrieval.cosine import similarity

_BLOCK = 1024


class MatchingRanks(NamedTuple):
    """Ranks of the right answers, 1 being the best.

    `image_to_text` holds the rank of the best caption (any-hit) of every image that has captions,
    in the order of rows, `text_to_image` of shape `[C]` the rank of each caption's image.
    """

    image_to_text: NDArray[np.int64]
    text_to_image: NDArray[np.int64]


class Confusion(NamedTuple):
    """In how many of all comparisons a near miss was at least as similar as the right image."""

    wrong: int
    comparisons: int

    @property
    def percent(self) -> float:
        """Percentage of comparisons that went wrong; 50 is chance."""
        return 100.0 * self.wrong / self.comparisons


def matching_ranks(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    hubs: HubCorrection | None = None,
    block_size: int = _BLOCK,
) -> MatchingRanks:
    """Ranks matching captions for every image, and the matching image for every caption.

    The rank is 1 plus the number of non-matching candidates that are at least as similar as
    the best matching one, so a tie counts against the model: if all embeddings are the same,
    all ranks are last. Similarity is cosine in float32, computed such that equal rows tie
    exactly and blocks change nothing (see `mite_tf.retrieval.cosine`). Two rows that hold the
    same image stay two images: each caption's own row is right, its duplicate ties.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`; scaled to length 1 here.
        caption_embeddings: Real numbers of shape `[C, D]`; scaled to length 1 here.
        caption_image: Integers of shape `[C]`: the row of each caption's image. An image
            without captions is a candidate but not a query.
        hubs: Takes the bias of each candidate off its similarities; None for none.
        block_size: Rows compared at once. Memory grows with its square, not with `I * C`.

    Raises:
        MiteError: If shapes do not fit together or a value is not finite.

    Example:
        Two images lie along two axes, with two captions for the first and one for the
        second; the last caption is nearer to the wrong image.

        >>> ranks = matching_ranks([[1, 0], [0, 1]], [[1, 0], [3, 1], [2, 1]], [0, 0, 1])
        >>> ranks.image_to_text.tolist(), ranks.text_to_image.tolist()
        ([1, 1], [1, 1, 2])
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    images, captions, _ = embeddings
    bias = np.zeros(len(images), np.float32), np.zeros(len(captions), np.float32)
    if hubs is not None:
        bias = hubs.bias(images, queries="caption"), hubs.bias(captions, queries="image")
    [ranks] = ranks_by_bias(embeddings, [bias], block_size=block_size)
    return ranks


def ranks_by_bias(
    embeddings: Embeddings,
    biases: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    *,
    block_size: int = _BLOCK,
) -> list[MatchingRanks]:
    """Ranks as `matching_ranks` does, once for each bias of the images `[I]` and captions `[C]`.

    It takes `unit_embeddings`, and computes their similarities once for all.
    """
    rows, matching = embeddings.caption_image, matching_similarity(embeddings)
    countings = [_Counting(rows, matching, *bias) for bias in biases]
    for block in _blocks(embeddings, block_size):
        for counting in countings:
            counting.add(*block)
    return [counting.ranks() for counting in countings]


class _Counting:
    """Counts the candidates that are at least as similar as the right one, less a bias."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        matching: NDArray[np.float32],
        of_images: NDArray[np.float32],
        of_captions: NDArray[np.float32],
    ) -> None:
        self._rows, self._of_images, self._of_captions = rows, of_images, of_captions
        self._own_image, self._own_caption = matching - of_images[rows], matching - of_captions
        self._best = np.full(len(of_images), -np.inf, np.float32)
        np.maximum.at(self._best, rows, self._own_caption)
        self._images_above = np.zeros(len(of_captions), np.int64)
        self._captions_above = np.zeros(len(of_images), np.int64)

    def add(self, captions: slice, images: slice, similarities: NDArray[np.float32]) -> None:
        above = similarities - self._of_images[images] >= self._own_image[captions, None]
        self._images_above[captions] += above.sum(axis=1)
        above = similarities - self._of_captions[captions, None] >= self._best[images]
        self._captions_above[images] += above.sum(axis=0)

    def ranks(self) -> MatchingRanks:
        # So far the right answers counted themselves: once per caption, and per image as often
        # as one of its captions reaches its best.
        reached = self._rows[self._own_caption >= self._best[self._rows]]
        own = np.bincount(reached, minlength=len(self._best))
        of_images = (self._captions_above - own + 1)[np.unique(self._rows)]
        return MatchingRanks(of_images, self._images_above)


def matching_similarities(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    block_size: int = _BLOCK,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Computes each caption's similarity to its image, and to the nearest other image.

    It takes the arguments of `matching_ranks`. Both results are of shape `[C]`, in [-1, 1].

    Raises:
        MiteError: If there is only one image, shapes do not fit together or a value is not
            finite.

    Example:
        >>> matching, hardest = matching_similarities([[1, 0], [0, 1]], [[3, 4]], [0])
        >>> matching.round(3).tolist(), hardest.round(3).tolist()
        ([0.6...], [0.8...])
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    if len(embeddings.images) < 2:
        raise MiteError("With a single image there is no other one to compare captions with.")
    hardest = np.full(len(embeddings.captions), -np.inf, np.float32)
    for captions, images, similarities in _blocks(embeddings, block_size):
        own = embeddings.caption_image[captions] - images.start
        inside = np.flatnonzero((own >= 0) & (own < similarities.shape[1]))
        similarities[inside, own[inside]] = -np.inf
        hardest[captions] = np.maximum(hardest[captions], similarities.max(axis=1))
    return matching_similarity(embeddings), hardest


def near_miss_confusion(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    ruled_out: Iterable[tuple[int, int, str]],
) -> dict[str, Confusion]:
    """Compares each caption with its own image and with images of which it is false.

    A near miss that is as similar as the caption's own image counts as wrong, so embeddings
    that are all the same are always wrong. Embeddings are those of `matching_ranks`; `ruled_out`
    holds the row of a caption, the row of an image of which it is false, and in what this image
    differs from the caption's own.

    Returns:
        Confusion by kind of difference, in alphabetical order; chance is 50 %.

    Example:
        >>> images, captions = [[1, 0], [0, 1]], [[2, 1], [1, 2]]
        >>> near_miss_confusion(images, captions, [0, 0], [(0, 1, "size"), (1, 1, "size")])
        {'size': Confusion(wrong=1, comparisons=2)}
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    pairs = list(ruled_out)
    if not pairs:
        return {}
    captions, images, names = (np.array(column) for column in zip(*pairs, strict=True))
    own = matching_similarity(embeddings)[captions]
    near = Embeddings(embeddings.images, embeddings.captions[captions], images)
    wrong = matching_similarity(near) >= own
    return {
        str(kind): Confusion(int(wrong[names == kind].sum()), int((names == kind).sum()))
        for kind in np.unique(names)
    }


def _blocks(
    embeddings: Embeddings, block_size: int
) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    for i in range(0, len(embeddings.images), block_size):
        images = slice(i, i + block_size)
        for c in range(0, len(embeddings.captions), block_size):
            captions = slice(c, c + block_size)
            found = similarity(embeddings.captions[captions], embeddings.images[images])
            yield captions, images, found
