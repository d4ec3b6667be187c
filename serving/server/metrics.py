"""What Prometheus reads, under TensorFlow Serving's names where it counts the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

_PREFIX = ":tensorflow:serving:"


def _exponential(first: float, factor: float, count: int) -> list[float]:
    return [first * factor**power for power in range(count)]


class _RequestCount:
    """`request_count` by model and status, without the suffix `_total` that a library adds."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Yields the counter; of unknown type, which a name without a suffix must be."""
        metric = Metric(f"{_PREFIX}request_count", "The total number of requests.", "unknown")
        for (model, status), count in self.counts.items():
            metric.add_sample(metric.name, {"model_name": model, "status": status}, count)
        yield metric


# no example: made by `Metrics.of_batches`.
class BatchMetrics:
    """What the batches of one model report."""

    def __init__(self, queue: Gauge, wait: Histogram, size: Histogram, run: Histogram) -> None:
        self._queue, self._wait, self._size, self._run = queue, wait, size, run
        self.queued = queue.set

    def waited(self, seconds: float) -> None:
        """Counts a request that has left the queue after so many seconds."""
        self._wait.observe(1e6 * seconds)

    def ran(self, rows: int, seconds: float, queued: int) -> None:
        """Counts a call: its rows, its time, and how many requests wait now."""
        self._size.observe(rows)
        self._run.observe(1e6 * seconds)
        self._queue.set(queued)


class Metrics:
    """The metrics of one server, in a registry of its own.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count("text", "OK")
        >>> b'request_count{model_name="text",status="OK"} 1.0' in metrics.page()
        True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _RequestCount()
        self.registry.register(self._requests)
        # Buckets and labels as in TensorFlow Serving: servables/tensorflow/util.cc,
        # batching/batching_session.cc. Its times are microseconds.
        self._latency = Histogram(
            f"{_PREFIX}request_latency",
            "Distribution of wall time (in microseconds) of requests.",
            ("model_name", "API", "entrypoint"),
            registry=self.registry,
            buckets=_exponential(10, 1.8, 33),
        )
        self._run = Histogram(
            f"{_PREFIX}runtime_latency",
            "Distribution of wall time (in microseconds) of calls of a model.",
            ("model_name", "API", "runtime"),
            registry=self.registry,
            buckets=_exponential(10, 1.8, 33),
        )
        self._wait = Histogram(
            f"{_PREFIX}batching_session:queuing_latency",
            "Distribution of wall time spent (in microseconds) in the queue.",
            ("thread_pool_name",),
            registry=self.registry,
            buckets=_exponential(100, 1.2, 52),
        )
        self._size = Histogram(
            "mite_serving_batch_size",
            "Rows of a call of a model.",
            ("model_name",),
            registry=self.registry,
            buckets=_exponential(1, 2, 11),
        )
        self._queue = Gauge(
            "mite_serving_queue_length",
            "Requests that wait for a model.",
            ("model_name",),
            registry=self.registry,
        )
        self._version = Gauge(
            "mite_serving_model_version",
            "State of each version, by GetModelStatus's numbers: 20 loading, 30 available.",
            ("model_name", "version"),
            registry=self.registry,
        )
        self.latency_of = cache(self._latency.labels)

    def count(self, model: str, status: str) -> None:
        """Counts a request that has ended with a status, such as `OK`."""
        self._requests.counts[model, status] += 1

    def of_batches(self, model: str) -> BatchMetrics:
        """Returns what the batches of a model report to."""
        return BatchMetrics(
            self._queue.labels(model),
            self._wait.labels(model),
            self._size.labels(model),
            self._run.labels(model, "Predict", "mite"),
        )

    def set_version(self, model: str, version: int, state: int) -> None:
        """Reports the state of a version."""
        self._version.labels(model, version).set(state)

    def forget_version(self, model: str, version: int) -> None:
        """Stops reporting a version."""
        self._version.remove(model, version)

    def page(self) -> bytes:
        """Returns all metrics as Prometheus reads them."""
        return generate_latest(self.registry)
