"""Batch sizes, as a server's metrics tell them."""

from __future__ import annotations

import math
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

# Histograms of executed batches. TensorFlow Serving's two are of its classic and its TFRT session:
# tensorflow_serving/batching/batching_util.h and the `Name()` of each batching task. The other is
# of `mite serve`.
_TF_SERVING = ":tensorflow:serving:"
_FAMILIES = (
    f"{_TF_SERVING}batching_session:",
    f"{_TF_SERVING}tfrt_saved_model_with_batching:",
)
_OWN = "mite_serving_batch_size"
PATHS = ("/monitoring/prometheus/metrics", "/metrics")


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """Batches that a server computed.

    Attributes:
        batches: Their number.
        rows: Rows in them, without those that pad a batch to an allowed size.
        histogram: Number of batches by range of sizes, such as `4-7`, padding included.
    """

    batches: int
    rows: int
    histogram: dict[str, int]

    @property
    def mean(self) -> float:
        """Rows in a batch, on average; NaN without a batch."""
        return self.rows / self.batches if self.batches else math.nan


@dataclass(frozen=True)
class BatchCounts:
    """Counts since the server's start, of which two make the `BatchSizes` between them."""

    batches: float
    rows: float
    # Batches by lower and upper bound, both inclusive; the last has no upper bound.
    ranges: dict[tuple[int, int | None], float]

    def since(self, before: BatchCounts) -> BatchSizes:
        """Returns what happened after other counts were taken."""
        grown = {
            _range_name(*bounds): round(count - before.ranges.get(bounds, 0.0))
            for bounds, count in self.ranges.items()
        }
        return BatchSizes(
            batches=round(self.batches - before.batches),
            rows=round(self.rows - before.rows),
            histogram={name: count for name, count in grown.items() if count > 0},
        )


def read_batch_counts(text: str, model: str) -> BatchCounts | None:
    """Reads the counts from a page of Prometheus metrics.

    TensorFlow Serving counts all models together; `mite serve` counts each alone.

    Args:
        text: The page, of TensorFlow Serving or of `mite serve`.
        model: Name of the model.

    Returns:
        The counts; None if the page tells none, as of a server without batching.
    """
    families = {family.name: family for family in text_string_to_metric_families(text)}
    if _OWN in families:
        return _counts(families[_OWN], model=model, closed_above=True)
    for prefix in _FAMILIES:
        if f"{prefix}processed_batch_size" in families:
            counts = _counts(families[f"{prefix}processed_batch_size"], closed_above=False)
            padding = families.get(f"{prefix}padding_size")
            extra = 0.0 if padding is None else _total(padding, "_sum")
            return BatchCounts(counts.batches, counts.rows - extra, counts.ranges)
    return None


def fetch_batch_counts(urls: Iterable[str], model: str) -> BatchCounts | None:
    """Reads the counts from the first address that answers; None if none does, or tells none."""
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return read_batch_counts(answer.read().decode("utf-8"), model)
        except (OSError, ValueError):
            continue
    return None


def _counts(family: Metric, *, model: str | None = None, closed_above: bool) -> BatchCounts:
    samples = [s for s in family.samples if model is None or s.labels.get("model_name") == model]
    cumulative: dict[float, float] = {}
    for sample in samples:
        if sample.name.endswith("_bucket"):
            limit = float(sample.labels["le"])
            cumulative[limit] = cumulative.get(limit, 0.0) + sample.value
    ranges: dict[tuple[int, int | None], float] = {}
    low, before = 1 if closed_above else 0, 0.0
    for limit in sorted(cumulative):
        # Prometheus counts a value that equals the limit below it, TensorFlow above it.
        high = None if math.isinf(limit) else int(limit) - (0 if closed_above else 1)
        ranges[low, high] = cumulative[limit] - before
        before, low = cumulative[limit], low if high is None else high + 1
    return BatchCounts(
        sum(s.value for s in samples if s.name.endswith("_count")),
        sum(s.value for s in samples if s.name.endswith("_sum")),
        ranges,
    )


def _total(family: Metric, suffix: str) -> float:
    return sum(sample.value for sample in family.samples if sample.name.endswith(suffix))


def _range_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if low == high else f"{low}-{high}"
