"""What a guard has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One way in which a training fails, and what to do about it.

    Attributes:
        kind: `collapse`, `divergence`, `not finite`, `winning discriminator`, `losing
            discriminator` or `rotation`.
        epoch: Epoch after which it was reported, from 1.
        since: First epoch that showed it.
        stage: Stage of that epoch; empty without stages.
        what: What is happening.
        advice: What to change, by the keys of the configuration.
        done: What the guard did about it; empty if nothing.
        stops: Whether training stops.

    Example:
        >>> print(Finding(
        ...     kind="collapse", epoch=5, since=3, stage="align",
        ...     what="all embeddings are alike", advice="lower stages.align.learning_rate",
        ... ))
        Since epoch 3 (align) all embeddings are alike; lower stages.align.learning_rate.
    """

    kind: str
    epoch: int
    since: int
    stage: str
    what: str
    advice: str
    done: str = ""
    stops: bool = False

    def __str__(self) -> str:
        begun = "In" if self.since == self.epoch else "Since"
        stage = f" ({self.stage})" if self.stage else ""
        sentence = f"{begun} epoch {self.since}{stage} {self.what}; {self.advice}."
        return f"{sentence} {self.done}" if self.done else sentence
