"""Differences between trainings that share their seeds, and how sure they are.

Two trainings of the same recipe differ, since their seeds do; and one training would score
differently on other queries. `t_interval` and `bootstrap_interval` cover the first alone,
`resampled_recalls` covers both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.evaluation.ranking import MatchingRanks

_CONFIDENCE = 0.95
_CUTOFFS = (1, 5, 10)


class Interval(NamedTuple):
    """A 95 % confidence interval, from `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A measure of one recipe minus that of another, by seed, with 95 % intervals of the mean.

    `student` and `over_seeds` (a bootstrap) are None for a single seed, `over_queries` (a bootstrap
    over queries and seeds) except for recalls.
    """

    differences: dict[int, float]
    student: Interval | None
    over_seeds: Interval | None
    over_queries: Interval | None = None

    @classmethod
    def of(cls, differences: dict[int, float], over_queries: Interval | None) -> "Difference":
        """Computes the intervals over seeds of differences."""
        values = list(differences.values())
        return cls(differences, t_interval(values), bootstrap_interval(values), over_queries)

    @property
    def mean(self) -> float:
        """Mean difference."""
        return float(np.mean(list(self.differences.values())))


def t_interval(values: ArrayLike) -> Interval | None:
    """Computes Student's 95 % interval for the mean that a few values `[N]` were drawn around.

    It allows for the spread of a few values being uncertain itself: for five values it is 2.8
    standard errors to each side where the normal one is 2.0. It takes the values to be normally
    distributed, which recall sums over seeds are, near enough. Fewer than two values have none.

    Example:
        >>> t_interval([1.0, 2.0, 3.0])  # 2 ± 4.303 · 1 / √3
        Interval(low=-0.48..., high=4.48...)
    """
    from scipy.stats import t

    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    error = values.std(ddof=1) / np.sqrt(len(values))
    reach = float(t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1) * error)
    return Interval(float(values.mean()) - reach, float(values.mean()) + reach)


def bootstrap_interval(values: ArrayLike, *, draws: int = 10_000, seed: int = 0) -> Interval | None:
    """Computes the 95 % percentile bootstrap of the mean of values `[N]`, drawn with replacement.

    It assumes no distribution, but is too narrow for few values: of five values, it holds the
    true mean in about 84 % of cases instead of 95 %. Fewer than two values have none.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    return middle(values[drawn].mean(axis=1))


def middle(draws: NDArray[np.float64]) -> Interval:
    """Returns the interval that holds the middle 95 % of draws `[B]`."""
    low, high = np.quantile(draws, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def queries_answered(ranks: MatchingRanks, caption_image: ArrayLike) -> NDArray[np.float64]:
    """Counts the queries about each image that are answered within 1, 5 and 10 results.

    Returns:
        Shape `[Q, 6]`, a row for each image with captions: whether the image finds one of its
        captions within each cutoff; how many of its captions find it.

    Example:
        >>> ranks = MatchingRanks(np.array([1, 7]), np.array([1, 2, 30]))
        >>> queries_answered(ranks, [0, 0, 1])
        array([[1., 1., 1., 1., 2., 2.],
               [0., 0., 1., 0., 0., 0.]])
    """
    _, image = np.unique(np.asarray(caption_image), return_inverse=True)
    found: list[NDArray] = [(ranks.image_to_text <= k).astype(np.float64) for k in _CUTOFFS]
    found += [np.bincount(image, weights=ranks.text_to_image <= k) for k in _CUTOFFS]
    return np.stack(found, axis=1)


def resampled_recalls(
    answered: ArrayLike, caption_image: ArrayLike, *, draws: int = 4000, seed: int = 0
) -> NDArray[np.float64]:
    """Draws queries and seeds again and computes their recalls: a paired bootstrap over both.

    Each draw takes as many seeds as there are, and as many images, each with all its captions,
    both with replacement; all seeds of a draw see the same images, since all trainings are
    measured on the same split. Candidates stay those of the whole split, and so do the ranks.
    With few seeds the result is too narrow; with one it covers queries alone.

    Args:
        answered: Shape `[S, Q, 6]`: `queries_answered` of each seed, or the differences of two
            trainings in it.
        caption_image: Integers of shape `[C]`: the row of each caption's image.
        draws: Number of resamples.
        seed: Decides the resamples.

    Returns:
        Shape `[draws, 6]`: recall at 1, 5 and 10 in percent from image to text, then from text
        to image, each the mean over the seeds drawn.
    """
    answered = np.asarray(answered, np.float64)
    _, captions = np.unique(np.asarray(caption_image), return_counts=True)
    seeds, images, _ = answered.shape
    random = np.random.default_rng(seed)
    recalls = np.empty((draws, 6))
    for start in range(0, draws, 500):  # bounds the memory
        block = recalls[start : start + 500]
        often = random.multinomial(images, np.full(images, 1 / images), size=len(block))
        share = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(block)) / seeds
        sums = np.einsum("bs,sbk->bk", share, often @ answered)
        block[:, :3] = 100 * sums[:, :3] / images
        block[:, 3:] = 100 * sums[:, 3:] / (often @ captions)[:, None]
    return recalls
