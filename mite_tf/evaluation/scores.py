"""Recall at K and the position of the right answer, in one direction and in both."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike


def recall_at_k(ranks: ArrayLike, k: int) -> float:
    """Share of queries whose best right answer is among the first `k`.

    Args:
        ranks: Integers of shape `[Q]`, 1 being the best.
        k: How many results a user looks at.

    Returns:
        Percentage, 0 to 100.

    Example:
        >>> recall_at_k([1, 2, 7, 30], k=5)
        50.0
    """
    ranks = np.asarray(ranks)
    return 100.0 * int(np.count_nonzero(ranks <= k)) / len(ranks)


@dataclass(frozen=True)
class DirectionScores:
    """How well one modality finds the other.

    Attributes:
        r1: Recall at 1: percentage of queries whose best right answer ranks first.
        r5: Recall at 5, in percent.
        r10: Recall at 10, in percent.
        median_rank: Median rank of the best right answer, 1 being the best.
        mean_rank: Mean rank of the best right answer.
    """

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float

    @classmethod
    def of_ranks(cls, ranks: ArrayLike) -> "DirectionScores":
        """Summarises ranks.

        Args:
            ranks: Integers of shape `[Q]`, 1 being the best.

        Returns:
            Recalls, median and mean.

        Example:
            >>> DirectionScores.of_ranks([1, 2, 7, 30])
            DirectionScores(r1=25.0, r5=50.0, r10=75.0, median_rank=4.5, mean_rank=10.0)
        """
        ranks = np.asarray(ranks)
        return cls(
            r1=recall_at_k(ranks, 1),
            r5=recall_at_k(ranks, 5),
            r10=recall_at_k(ranks, 10),
            median_rank=float(np.median(ranks)),
            mean_rank=float(np.mean(ranks)),
        )

    @classmethod
    def mean(cls, scores: Sequence["DirectionScores"]) -> "DirectionScores":
        """Averages every score over several candidate sets.

        Args:
            scores: At least one.

        Returns:
            The means.
        """
        return cls(
            **{f.name: float(np.mean([getattr(s, f.name) for s in scores])) for f in fields(cls)}
        )


@dataclass(frozen=True)
class RetrievalScores:
    """Scores of both directions.

    Attributes:
        image_to_text: Images look for captions; any of its captions is right (any-hit).
        text_to_image: Captions look for their image.
    """

    image_to_text: DirectionScores
    text_to_image: DirectionScores

    @property
    def rsum(self) -> float:
        """Sum of the six recalls, 0 to 600."""
        return sum(
            recall
            for direction in (self.image_to_text, self.text_to_image)
            for recall in (direction.r1, direction.r5, direction.r10)
        )

    @classmethod
    def mean(cls, scores: Sequence["RetrievalScores"]) -> "RetrievalScores":
        """Averages every score over several candidate sets.

        Args:
            scores: At least one.

        Returns:
            The means.
        """
        return cls(
            DirectionScores.mean([s.image_to_text for s in scores]),
            DirectionScores.mean([s.text_to_image for s in scores]),
        )

    def to_dict(self) -> dict[str, dict[str, float] | float]:
        """Gives the scores by name, as JSON holds them.

        Returns:
            `image_to_text` and `text_to_image` with their five scores each, and `rsum`.
        """
        return {**asdict(self), "rsum": self.rsum}
