"""The scores that a model without any knowledge is expected to reach."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.evaluation.scores import DirectionScores, RetrievalScores


def chance_level(images: int, caption_image: ArrayLike) -> RetrievalScores:
    """Expected scores when every query puts the candidates in random order.

    With `n` right answers among `N` candidates, none is among the first `k` with probability
    `C(N - n, k) / C(N, k)`, and the first of them stands at `(N + 1) / (n + 1)` on average.

    Args:
        images: Number of images, captioned or not.
        caption_image: Integers of shape `[C]`: the row of each caption's image.

    Returns:
        Expected recalls and mean ranks; the median is that of all queries' ranks together.

    Example:
        Ten images with two captions each: the first of 20 captions is right in 2 of 20 cases.

        >>> chance = chance_level(10, np.repeat(np.arange(10), 2))
        >>> round(chance.image_to_text.r1, 6), round(chance.text_to_image.r1, 6)
        (10.0, 10.0)
    """
    rows = np.asarray(caption_image)
    right = np.bincount(rows, minlength=images)
    return RetrievalScores(
        image_to_text=_direction(len(rows), right[right > 0]),
        text_to_image=_direction(images, np.ones(len(rows), np.int64)),
    )


def _direction(candidates: int, right: NDArray[np.int64]) -> DirectionScores:
    kinds, queries = np.unique(right, return_counts=True)
    found = np.average([_found(candidates, int(n)) for n in kinds], axis=0, weights=queries)

    def recall(k: int) -> float:
        return 100.0 * float(found[min(k, candidates)])

    return DirectionScores(
        r1=recall(1),
        r5=recall(5),
        r10=recall(10),
        median_rank=_median(found),
        mean_rank=float(np.average((candidates + 1) / (kinds + 1), weights=queries)),
    )


def _found(candidates: int, right: int) -> NDArray[np.float64]:
    """Probability that one of `right` answers is among the first k, for k from 0 on."""
    k = np.arange(candidates + 1)
    missed = np.ones(candidates + 1)
    for j in range(right):
        missed *= np.maximum(candidates - k - j, 0) / (candidates - j)
    return 1.0 - missed


def _median(found: NDArray[np.float64]) -> float:
    """Middle of the ranks k for which P(rank < k) <= 1/2 <= P(rank <= k)."""
    rounding = 1e-9
    lower = int(np.argmax(found >= 0.5 - rounding))
    upper = int(np.argmax(found > 0.5 + rounding))
    return (lower + upper) / 2
