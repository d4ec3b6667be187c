"""Recall at K and the rank of the right answer: what a model reaches, and what chance would."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CUTOFFS = (1, 5, 10)
_HIGHEST = 600.0 - 1e-6  # of recall sums, but for rounding
_ALL = 100.0 - 1e-6  # of recalls


@dataclass(frozen=True)
class DirectionScores:
    """How well one modality finds the other: recall at 1, 5 and 10, median and mean rank.

    Recall at K is the percentage of queries whose best right answer is among the first K; ranks
    are those of the best right answers, 1 being the best.
    """

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float

    @classmethod
    def of_ranks(cls, ranks: ArrayLike) -> "DirectionScores":
        """Summarises ranks, integers of shape `[Q]`.

        Example:
            >>> DirectionScores.of_ranks([1, 2, 7, 30])
            DirectionScores(r1=25.0, r5=50.0, r10=75.0, median_rank=4.5, mean_rank=10.0)
        """
        ranks = np.asarray(ranks)
        r1, r5, r10 = (100.0 * int(np.count_nonzero(ranks <= k)) / len(ranks) for k in _CUTOFFS)
        return cls(r1, r5, r10, float(np.median(ranks)), float(np.mean(ranks)))

    @classmethod
    def mean(cls, scores: Sequence["DirectionScores"]) -> "DirectionScores":
        """Averages every score over several candidate sets, at least one."""
        return cls(
            **{f.name: float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(cls)}
        )

    @property
    def recalls(self) -> tuple[float, float, float]:
        """Recall at 1, 5 and 10."""
        return self.r1, self.r5, self.r10


@dataclass(frozen=True)
class RetrievalScores:
    """Scores of images that look for captions (any of theirs is right) and the other way round."""

    image_to_text: DirectionScores
    text_to_image: DirectionScores

    @property
    def rsum(self) -> float:
        """Sum of the six recalls, 0 to 600."""
        return sum(self.image_to_text.recalls + self.text_to_image.recalls)

    @classmethod
    def mean(cls, scores: Sequence["RetrievalScores"]) -> "RetrievalScores":
        """Averages every score over several candidate sets, at least one."""
        return cls(
            DirectionScores.mean([s.image_to_text for s in scores]),
            DirectionScores.mean([s.text_to_image for s in scores]),
        )

    def to_dict(self) -> dict[str, dict[str, float] | float]:
        """Returns both directions with their five scores each, and `rsum`, as JSON holds them."""
        return {**asdict(self), "rsum": self.rsum}


def chance_level(images: int, caption_image: ArrayLike) -> RetrievalScores:
    """Computes the scores to expect when every query puts the candidates in random order.

    With `n` right answers among `N` candidates, none is among the first `k` with probability
    `C(N - n, k) / C(N, k)`, and the first of them stands at `(N + 1) / (n + 1)` on average. The
    median is that of all queries' ranks together.

    Args:
        images: Number of images, captioned or not.
        caption_image: Integers of shape `[C]`: the row of each caption's image.

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


def chance_deviation(images: int, caption_image: ArrayLike) -> float:
    """Computes the standard deviation of the recall sum under random order.

    It is meant to be too large rather than too small: captions of one image are alike and find it
    or miss it together, so an image with captions counts as one query in either direction; and
    pairs that happen to be near help both directions, so that their deviations add up.

    Args:
        images: Number of images, captioned or not.
        caption_image: Integers of shape `[C]`: the row of each caption's image.

    Example:
        A caption finds the right one of two images in half of the cases, so that its share of the
        sum is 300 or 200, and so is an image's. With a single pair, it is always 300.

        >>> round(chance_deviation(2, [0]), 4), chance_deviation(1, [0])
        (50.0, 0.0)
    """
    rows = np.asarray(caption_image)
    right = np.bincount(rows, minlength=images)
    right = right[right > 0]
    directions = ((len(rows), right), (images, np.ones(len(right), np.int64)))
    return float(sum(np.sqrt(_variance(*each) / len(right)) for each in directions))


def against_chance(rsum: float, chance: float, deviation: float) -> str:
    """Says in a sentence that a recall sum does not beat chance; nothing if it does.

    It does where it lies more than two standard deviations above what random order scores.

    Example:
        >>> against_chance(480.0, 368.1, 33.1)
        ''
        >>> against_chance(360.0, 368.1, 33.1)
        'RSUM 360.0 does not beat chance: random order scores 368.1, give or take 66.2.'
    """
    beaten = chance + 2 * deviation
    around = f"random order scores {chance:.1f}, give or take {2 * deviation:.1f}"
    if rsum > beaten:
        return ""
    if beaten >= _HIGHEST:
        return f"RSUM cannot tell a model from chance here: {around}. Measure on more images."
    return f"RSUM {rsum:.1f} does not beat chance: {around}."


def reached_by_chance(chance: RetrievalScores) -> str:
    """Says in a sentence which recalls are 100 whatever the order; nothing if none is.

    Example:
        >>> reached_by_chance(chance_level(8, np.arange(8)))
        'With so few images any order scores 100 at image → text R@10, text → image R@10.'
    """
    directions = (("image → text", chance.image_to_text), ("text → image", chance.text_to_image))
    names = [
        f"{name} R@{k}"
        for name, scores in directions
        for k, recall in zip(_CUTOFFS, scores.recalls, strict=True)
        if recall > _ALL
    ]
    return f"With so few images any order scores 100 at {', '.join(names)}." if names else ""


def _variance(candidates: int, right: NDArray[np.int64]) -> float:
    """The mean variance of what one query adds to the recall sum under random order."""
    kinds, queries = np.unique(right, return_counts=True)
    found = [_found(candidates, int(n))[np.minimum(_CUTOFFS, candidates)] for n in kinds]
    # A rank among the first k is among the first of every larger K too.
    variances = [
        sum(each[min(i, j)] for i in range(3) for j in range(3)) - each.sum() ** 2 for each in found
    ]
    return 100.0**2 * max(0.0, float(np.average(variances, weights=queries)))


def _direction(candidates: int, right: NDArray[np.int64]) -> DirectionScores:
    kinds, queries = np.unique(right, return_counts=True)
    found = np.average([_found(candidates, int(n)) for n in kinds], axis=0, weights=queries)
    r1, r5, r10 = (100.0 * float(found[min(k, candidates)]) for k in _CUTOFFS)
    mean_rank = float(np.average((candidates + 1) / (kinds + 1), weights=queries))
    return DirectionScores(r1, r5, r10, _median(found), mean_rank)


def _found(candidates: int, right: int) -> NDArray[np.float64]:
    """Returns the probability that one of `right` answers is among the first k, for k from 0 on."""
    k = np.arange(candidates + 1)
    missed = np.ones(candidates + 1)
    for j in range(right):
        missed *= np.maximum(candidates - k - j, 0) / (candidates - j)
    return 1.0 - missed


def _median(found: NDArray[np.float64]) -> float:
    """Returns the middle of the ranks k for which P(rank < k) <= 1/2 <= P(rank <= k)."""
    rounding = 1e-9
    lower = int(np.argmax(found >= 0.5 - rounding))
    upper = int(np.argmax(found > 0.5 + rounding))
    return (lower + upper) / 2
