"""What a load test measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.files import write_text
from mite_tf.serving.loadtest.batch_sizes import BatchSizes
from mite_tf.serving.loadtest.latencies import Latencies, latencies
from mite_tf.serving.loadtest.samples import Samples

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, kw_only=True)
class LoadTestResult:
    """What a load test measured; `print_result` and `plot_result` show it.

    Requests, errors and latencies are those of requests that fell due while it measured, each
    waited for until its deadline. Throughput counts the answers that came in that time.

    Attributes:
        target: Host and port.
        model: Name of the model.
        signature: Name of the signature.
        version: Version that answered the first request.
        clients: Number of clients, each with a connection of its own.
        processes: Number of processes that they were spread over.
        batch: Rows in each request.
        rate: Requests a second that were to be sent; None if each client sent its next request
            when it had the answer to the last.
        seconds: How long it measured.
        requests: Number of requests.
        answered: How many of them were answered.
        not_sent: Requests that fell due but found no free client until the end; only with `rate`.
        errors: Number of errors by status code of gRPC.
        messages: One message for each of these codes.
        throughput: Answers a second.
        rows_per_second: Rows in these.
        latency: Of answers, from when the request was due.
        latency_from_sending: Of answers, from when the request was sent. Far below `latency`,
            requests queued at the clients: the rate is more than the server can take.
        bytes_sent: Size of all requests.
        bytes_received: Size of all answers.
        client_cores: Processor time of the client processes, in cores.
        client_busy: Share of the time in which the busiest client process ran or waited for a
            processor.
        batch_sizes: Batches that the server computed, if its metrics tell.
        interrupted: Whether it was stopped early.
        samples: Every request.
    """

    target: str
    model: str
    signature: str
    version: int | None
    clients: int
    processes: int
    batch: int
    rate: float | None
    seconds: float
    requests: int
    answered: int
    not_sent: int
    errors: dict[str, int]
    messages: dict[str, str]
    throughput: float
    rows_per_second: float
    latency: Latencies
    latency_from_sending: Latencies
    bytes_sent: int
    bytes_received: int
    client_cores: float
    client_busy: float
    batch_sizes: BatchSizes | None
    interrupted: bool
    samples: Samples = field(repr=False, compare=False)

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed; 1 if there was none."""
        return 1 - self.answered / self.requests if self.requests else 1.0

    @property
    def client_limited(self) -> bool:
        """Whether the client is likely to have been the limit, and not the server."""
        return self.client_busy > 0.85

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the samples, for JSON; None where there is no number."""
        kept = {each.name for each in fields(self)} - {"samples"}
        values = {name: value for name, value in _plain(self).items() if name in kept}
        return {**values, "error_rate": self.error_rate, "client_limited": self.client_limited}

    def write_json(self, path: str | Path) -> None:
        """Writes all but the samples as JSON."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


def summarise(
    samples: Samples,
    *,
    seconds: float,
    batch: int,
    messages: Mapping[str, str],
    client_seconds: float,
    **facts: Any,
) -> LoadTestResult:
    """Makes a result of what the client processes measured.

    Args:
        samples: All requests, also those before the measurement began and after it ended.
        seconds: How long it measured.
        batch: Rows in each request.
        messages: One message for each status code.
        client_seconds: Processor time of the client processes.
        facts: The other attributes of the result, as they are.
    """
    inside = samples.where((samples.due >= 0) & (samples.due < seconds))
    good = inside.where(inside.code == 0)
    ended = (samples.ended >= 0) & (samples.ended < seconds) & (samples.code == 0)
    codes, counts = np.unique(inside.code[inside.code != 0], return_counts=True)
    throughput = int(ended.sum()) / seconds if seconds else 0.0
    errors = {_NAMES[int(code)]: int(count) for code, count in zip(codes, counts, strict=True)}
    return LoadTestResult(
        seconds=seconds,
        batch=batch,
        requests=len(inside.due),
        answered=len(good.due),
        errors=errors,
        messages={code: messages[code] for code in errors if code in messages},
        throughput=throughput,
        rows_per_second=throughput * batch,
        latency=latencies(good.ended - good.due),
        latency_from_sending=latencies(good.ended - good.sent),
        bytes_sent=int(inside.bytes_sent.sum()),
        bytes_received=int(inside.bytes_received.sum()),
        client_cores=client_seconds / seconds if seconds else 0.0,
        samples=samples,
        **facts,
    )


def _plain(result: LoadTestResult) -> dict[str, Any]:
    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(each) for key, each in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: finite(value) for name, value in asdict(result).items() if name != "samples"}
