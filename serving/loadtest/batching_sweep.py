"""Batching parameters compared on the local server."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.serving.loadtest.batch_sizes import PATHS
from mite_tf.serving.loadtest.batching_file import write_batching
from mite_tf.serving.loadtest.load_test import load_test
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.loadtest.server_process import server_process
from mite_tf.serving.server.batching import Batching

SIZES = (1, 8, 32, 128)


@dataclass(frozen=True, kw_only=True)
class BatchingTrial:
    """What one setting of the batching parameters gave, as medians over the rounds.

    Attributes:
        batching: The setting.
        throughput: Requests a second.
        p50: Milliseconds.
        p99: Milliseconds.
        error_rate: Share of requests that failed.
        rows_per_batch: Rows in a batch, on average; None if no batch was counted.
    """

    batching: Batching
    throughput: float
    p50: float
    p99: float
    error_rate: float
    rows_per_batch: float | None


@dataclass(frozen=True, kw_only=True)
class BatchingSweep:
    """Settings of the batching parameters, compared.

    Attributes:
        clients: Number of clients.
        rounds: How often each setting was measured.
        trials: One for each setting.
        p99: Latency in milliseconds that was asked for; None if none was.
        interrupted: Whether it was stopped early.
    """

    clients: int
    rounds: int
    trials: tuple[BatchingTrial, ...]
    p99: float | None
    interrupted: bool

    @property
    def best(self) -> BatchingTrial:
        """The highest throughput within the latency; the lowest latency if none is within it."""
        within = [each for each in self.trials if self.p99 is None or each.p99 <= self.p99]
        if within:
            return max(within, key=lambda each: each.throughput)
        return min(self.trials, key=lambda each: each.p99)

    @property
    def error_rate(self) -> float:
        """The highest share of errors among the settings."""
        return max(each.error_rate for each in self.trials)

    def write_json(self, path: str | Path) -> None:
        """Writes all numbers as JSON."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def sweep_batching(
    export: str | Path,
    *,
    sizes: Sequence[int] = SIZES,
    timeouts: Sequence[int] = (0,),
    threads: Sequence[int] | None = None,
    backend: str = "auto",
    clients: int = 32,
    seconds: float = 5.0,
    rounds: int = 3,
    p99: float | None = None,
    **options: Any,
) -> BatchingSweep:
    """Serves an export under each of several settings and measures them in turn.

    All servers stand from the beginning; each round measures every setting once, so that what
    disturbs the machine for a while disturbs all of them. Medians are compared.

    Ctrl-C ends it and gives the settings that were measured so far.

    Args:
        export: Export folder.
        sizes: Values of `max_batch_size`.
        timeouts: Values of `batch_timeout_micros`.
        threads: Values of `num_batch_threads` (default: the cores of this machine).
        backend: `onnx`, `onnx-int8`, `savedmodel` or `auto`, as for `mite serve`.
        clients: Number of clients.
        seconds: How long to measure each setting in each round.
        rounds: How often to measure each.
        p99: Latency in milliseconds that 99 of 100 requests must not exceed.
        options: As for `load_test`; no `tls`, no `metrics`.

    Raises:
        MiteError: If a server does not start, or nothing was measured.
    """
    settings = [
        Batching(
            max_batch_size=size,
            batch_timeout_micros=timeout,
            num_batch_threads=count,
            # The bound of the queue is no part of the comparison: all clients fit.
            max_enqueued_batches=max(100, -(-clients * options.get("batch", 1) // size)),
        )
        for size in sizes
        for timeout in timeouts
        for count in threads or (os.cpu_count() or 1,)
    ]
    if not settings or rounds < 1:
        raise MiteError("A sweep needs at least one setting and one round.")
    measured: dict[int, list[LoadTestResult]] = {number: [] for number in range(len(settings))}
    interrupted = False
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        ports = []
        for number, setting in enumerate(settings):
            file = Path(folder, f"{number}.config")
            write_batching(file, setting)
            ports.append(
                servers.enter_context(server_process(export, backend=backend, batching=file))
            )
        for number in [n for _ in range(rounds) for n in measured]:
            port, http_port = ports[number]
            result = load_test(
                f"localhost:{port}",
                clients=clients,
                seconds=seconds,
                metrics=f"http://localhost:{http_port}{PATHS[0]}",
                **options,
            )
            interrupted = result.interrupted
            if interrupted:
                break
            measured[number].append(result)
    trials = [_trial(settings[number], results) for number, results in measured.items() if results]
    if not trials:
        raise MiteError("Stopped before a setting was measured.")
    return BatchingSweep(
        clients=clients, rounds=rounds, trials=tuple(trials), p99=p99, interrupted=interrupted
    )


def _trial(batching: Batching, results: Sequence[LoadTestResult]) -> BatchingTrial:
    rows = [r.batch_sizes.mean for r in results if r.batch_sizes and r.batch_sizes.batches]
    return BatchingTrial(
        batching=batching,
        throughput=statistics.median(each.throughput for each in results),
        p50=statistics.median(each.latency.p50 for each in results),
        p99=statistics.median(each.latency.p99 for each in results),
        error_rate=max(each.error_rate for each in results),
        rows_per_batch=statistics.median(rows) if rows else None,
    )
