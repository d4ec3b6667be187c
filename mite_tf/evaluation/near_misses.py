"""How often a model takes a scene that a caption rules out for the one it describes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mite_tf.evaluation.embeddings import Embeddings, matching_similarity, unit_embeddings


class Confusion(NamedTuple):
    """How often near misses of one kind were preferred.

    Attributes:
        wrong: Number of comparisons in which the near miss was at least as similar.
        comparisons: Number of comparisons.
    """

    wrong: int
    comparisons: int

    @property
    def percent(self) -> float:
        """Percentage of comparisons that went wrong; 50 is chance."""
        return 100.0 * self.wrong / self.comparisons


def near_miss_confusion(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    ruled_out: Iterable[tuple[int, int, str]],
) -> dict[str, Confusion]:
    """Compares each caption with its own image and with images of which it is false.

    A near miss that is as similar as the caption's own image counts as wrong, so embeddings
    that are all the same are always wrong.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`.
        caption_embeddings: Real numbers of shape `[C, D]`.
        caption_image: Integers of shape `[C]`: the row of each caption's image.
        ruled_out: Row of a caption, row of an image of which it is false, and in what this
            image differs from the caption's own; see `mite_tf.scenes.ruled_out`.

    Returns:
        Confusion by kind of difference, in alphabetical order; chance is 50 %.

    Raises:
        MiteError: If the embeddings cannot be used.

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
    other = matching_similarity(
        Embeddings(embeddings.images, embeddings.captions[captions], images)
    )
    wrong = other >= own
    return {
        str(kind): Confusion(int(wrong[names == kind].sum()), int((names == kind).sum()))
        for kind in np.unique(names)
    }
