"""What a load test measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.files import write_text

# One request: when it was due, sent and ended, in seconds after the measurement began, and gRPC's
# status code, 0 for an answer. Without a fixed rate a request is due when it is sent.
SAMPLE = np.dtype([("due", "f8"), ("sent", "f8"), ("ended", "f8"), ("code", "i2")])

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


# no example: it takes a server.
@dataclass(frozen=True, kw_only=True)
class LoadTestResult:
    """What `load_test` measured; `print_result` and `plot_result` show it.

    Requests, errors and latencies are those of requests that fell due while it measured, each
    waited for until its deadline. Throughput counts the answers that came in that time.

    Attributes:
        version: Version of the model that answered the first request; None if it did not say.
        rate: Requests a second that were to be sent; None if clients waited for their answers.
        not_sent: Requests that fell due but found no free client until the end; only with `rate`.
        errors: Number of errors by status code of gRPC.
        messages: One message for each of these codes.
        latency: Of answers, from when the request was due, in milliseconds: `mean`, `p50`, `p95`,
            `p99` and `max`; empty without an answer. A percentile is one of the durations.
        latency_from_sending: The same from when it was sent. Where it is far below `latency`,
            requests queued for a free client: the rate is more than the server can take.
        client_busy: Share of the time in which the busiest client process ran or waited for a
            processor.
        samples: Every request, with the fields `due`, `sent`, `ended` and `code`.
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
    latency: dict[str, float]
    latency_from_sending: dict[str, float]
    client_busy: float
    interrupted: bool
    samples: np.ndarray = field(repr=False, compare=False)

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed; 1 if there was none."""
        return 1 - self.answered / self.requests if self.requests else 1.0

    @property
    def client_limited(self) -> bool:
        """Whether the clients are likely to have been the limit, and not the server."""
        return self.client_busy > 0.85

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the samples, for JSON."""
        values = asdict(replace(self, samples=np.empty(0)))
        del values["samples"]
        return {**values, "error_rate": self.error_rate, "client_limited": self.client_limited}

    def write_json(self, path: str | Path) -> None:
        """Writes all but the samples as JSON."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


# no example: part of `load_test`.
def summarise(
    samples: np.ndarray, *, seconds: float, batch: int, messages: Mapping[str, str], **facts: Any
) -> LoadTestResult:
    """Makes a result of all requests, also of those before and after the measurement."""
    samples = np.sort(samples, order="ended")
    inside = samples[(samples["due"] >= 0) & (samples["due"] < seconds)]
    good = inside[inside["code"] == 0]
    ended = (samples["ended"] >= 0) & (samples["ended"] < seconds) & (samples["code"] == 0)
    throughput = int(ended.sum()) / seconds if seconds else 0.0
    codes, counts = np.unique(inside["code"][inside["code"] != 0], return_counts=True)
    errors = {_CODES[int(code)]: int(count) for code, count in zip(codes, counts, strict=True)}
    return LoadTestResult(
        seconds=seconds,
        batch=batch,
        requests=len(inside),
        answered=len(good),
        errors=errors,
        messages={code: messages[code] for code in errors if code in messages},
        throughput=throughput,
        rows_per_second=throughput * batch,
        latency=_latency(good["ended"] - good["due"]),
        latency_from_sending=_latency(good["ended"] - good["sent"]),
        samples=samples,
        **facts,
    )


def _latency(seconds: np.ndarray) -> dict[str, float]:
    if not len(seconds):
        return {}
    cuts = np.percentile(seconds, (50, 95, 99, 100), method="inverted_cdf")
    values = zip(("mean", "p50", "p95", "p99", "max"), (seconds.mean(), *cuts), strict=True)
    return {name: round(float(value) * 1e3, 6) for name, value in values}
