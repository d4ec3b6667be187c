"""What latencies are told as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Percentiles of how long answers took, in milliseconds; NaN where there was no answer.

    Attributes:
        mean: Their mean.
        p50: Half of the answers took no longer.
        p95: 95 of 100 took no longer.
        p99: 99 of 100 took no longer.
        max: The longest.
    """

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


def latencies(seconds: np.ndarray) -> Latencies:
    """Sums up durations.

    A percentile is one of the durations: the smallest that is not below the share asked for.

    Args:
        seconds: float `[N]`, durations in seconds.

    Example:
        >>> found = latencies(np.arange(1, 101) / 1000)
        >>> found.p50, found.p99, found.max
        (50.0, 99.0, 100.0)
    """
    if not len(seconds):
        return Latencies(**dict.fromkeys(("mean", "p50", "p95", "p99", "max"), float("nan")))
    cuts = np.percentile(seconds, (50, 95, 99, 100), method="inverted_cdf")
    p50, p95, p99, longest = (round(float(cut) * 1e3, 6) for cut in cuts)
    return Latencies(
        mean=round(float(seconds.mean()) * 1e3, 6), p50=p50, p95=p95, p99=p99, max=longest
    )
