"""What Prometheus reads, under TensorFlow Serving's names where it counts the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

_PREFIX = ":tensorflow:serving:"


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


class Metrics:
    """The metrics of one server, in a registry of its own.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count("text", "OK")
        >>> b'request_count{model_name="text",status="OK"} 1.0' in metrics.page()
        True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _RequestCount()
        self._registry.register(self._requests)
        # Buckets and labels as in TensorFlow Serving: servables/tensorflow/util.cc,
        # batching/batching_session.cc. Its times are microseconds.
        request_time = self._histogram(
            f"{_PREFIX}request_latency",
            "Distribution of wall time (in microseconds) of requests.",
            ("model_name", "API", "entrypoint"),
            (10, 1.8, 33),
        )
        self.request_time_of = cache(request_time.labels)
        self.run_time = self._histogram(
            f"{_PREFIX}runtime_latency",
            "Distribution of wall time (in microseconds) of calls of a model.",
            ("model_name", "API", "runtime"),
            (10, 1.8, 33),
        )
        self.waiting_time = self._histogram(
            f"{_PREFIX}batching_session:queuing_latency",
            "Distribution of wall time spent (in microseconds) in the queue.",
            ("thread_pool_name",),
            (100, 1.2, 52),
        )
        self.batch_size = self._histogram(
            "mite_serving_batch_size", "Rows of a call of a model.", ("model_name",), (1, 2, 11)
        )
        self.queue_length = Gauge(
            "mite_serving_queue_length",
            "Requests that wait for a model.",
            ("model_name",),
            registry=self._registry,
        )
        self.version = Gauge(
            "mite_serving_model_version",
            "State of each version, by GetModelStatus's numbers: 20 loading, 30 available.",
            ("model_name", "version"),
            registry=self._registry,
        )

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: tuple[float, float, int]
    ) -> Histogram:
        first, factor, count = buckets
        limits = [first * factor**power for power in range(count)]
        return Histogram(name, text, labels, registry=self._registry, buckets=limits)

    def count(self, model: str, status: str) -> None:
        """Counts a request that has ended with a status, such as `OK`."""
        self._requests.counts[model, status] += 1

    def page(self) -> bytes:
        """Returns all metrics as Prometheus reads them."""
        return generate_latest(self._registry)
