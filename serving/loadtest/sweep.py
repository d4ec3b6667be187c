"""Load tests with more and more clients, and the batching parameters that they suggest."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.serving.client.call import ROWS_PER_REQUEST
from mite_tf.serving.loadtest.load_test import load_test
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.server import Batching

_ERRORS = 0.01  # share of errors above which a load counts as too much
_LARGEST = 1024  # rows; beyond it, no server here gains
_NAMES = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


# no example: it takes measurements; see `load_sweep`.
@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Batching parameters, and the load that they follow from: its clients, throughput and p99.

    `target` is the p99 in milliseconds that was asked for, or twice that of the load. If no load
    `reached` it, the lightest was taken. `reasons` says why each parameter is what it is.
    """

    batching: Batching
    clients: int
    throughput: float
    p99: float
    target: float
    reached: bool
    reasons: tuple[str, ...]


# no example: it takes measurements; see `load_sweep`.
@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What `load_sweep` measured; no proposal if it was stopped before the first answers."""

    results: tuple[LoadTestResult, ...]
    proposal: Proposal | None

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped early."""
        return any(each.interrupted for each in self.results)

    @property
    def error_rate(self) -> float:
        """The highest share of errors among the load tests."""
        return max((each.error_rate for each in self.results), default=1.0)

    def write_json(self, path: str | Path) -> None:
        """Writes all numbers as JSON."""
        proposal = None if self.proposal is None else asdict(self.proposal)
        values = {"results": [each.to_dict() for each in self.results], "proposal": proposal}
        write_text(path, json.dumps(values, indent=2) + "\n")


def load_sweep(
    host: str,
    *,
    clients: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    seconds: float = 5.0,
    p99: float | None = None,
    threads: int,
    **options: Any,
) -> Sweep:
    """Measures a server with more and more clients and proposes batching parameters.

    Ctrl-C ends it and gives what was measured so far.

    Args:
        host: Host, with or without a port.
        clients: Numbers of clients, measured one after the other.
        seconds: How long to measure each.
        p99: Latency in milliseconds that 99 of 100 requests must not exceed.
        threads: Cores of the server that batches may use.
        options: As for `load_test`; no `rate`.

    Example:
        >>> load_sweep("localhost:8500", clients=(), threads=2)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: A sweep needs numbers of clients, such as 1,2,4,8.
    """
    if not clients:
        raise MiteError("A sweep needs numbers of clients, such as 1,2,4,8.")
    if options.get("rate") is not None:
        raise MiteError("A sweep varies the number of clients; a rate is for one load test.")
    results: list[LoadTestResult] = []
    for number in clients:
        results.append(load_test(host, clients=number, seconds=seconds, **options))
        if results[-1].interrupted:
            break
    answered = any(each.answered for each in results)
    proposal = propose(results, p99=p99, threads=threads) if answered else None
    return Sweep(results=tuple(results), proposal=proposal)


# no example: it takes measurements; see `load_sweep`.
def propose(
    results: Sequence[LoadTestResult],
    *,
    p99: float | None = None,
    threads: int,
    largest_request: int = ROWS_PER_REQUEST,
) -> Proposal:
    """Derives batching parameters from load tests with several numbers of clients.

    The load that counts is the one with the highest throughput whose p99 stays within the target
    and whose errors are below 1 %. Without a target it is the knee, where throughput divided by
    p99 is greatest. A server refuses a request of more than `max_batch_size` rows, which is
    therefore no less than `largest_request`.

    Reference:
        L. Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in
        computer communications", ICC 1979: the knee. The rule for threads, and a timeout of 0 to
        begin with on processors: TensorFlow Serving's `tensorflow_serving/batching/README.md`.
    """
    usable = [each for each in results if each.answered and each.error_rate < _ERRORS]
    if not usable:
        raise MiteError("Nothing can be proposed: at every load, more than 1 % of requests failed.")
    lone = min(usable, key=lambda each: each.clients)
    if p99 is None:
        best, reached = max(usable, key=lambda each: each.throughput / each.latency["p99"]), True
        target = 2 * best.latency["p99"]
    else:
        within = [each for each in usable if each.latency["p99"] <= p99]
        best = max(within, key=lambda each: each.throughput) if within else lone
        target, reached = p99, bool(within)
    # The rows that these clients have under way, shared by the threads.
    wanted = min(_LARGEST, max(1.0, best.clients * best.batch / threads))
    gathered = 2 ** math.ceil(math.log2(wanted))
    size = max(gathered, best.batch, largest_request)
    # A full queue of E batches of B rows takes E·B / X seconds at X rows a second. A request that
    # is let in last still has to be computed, for which a lone client's median stands.
    room = max(0.0, target - lone.latency["p50"]) / 1e3
    fits = math.floor(best.rows_per_second * room / size)
    enqueued = max(threads, fits)
    reasons = (
        f"max_batch_size {size}: {best.clients} clients fill batches of {gathered} rows, and one "
        f"request may have {max(best.batch, largest_request)}.",
        f"num_batch_threads {threads}: one for each core of the server.",
        "batch_timeout_micros 0: what queues while a batch is computed makes the next one; waiting "
        "would delay a lone client.",
        f"max_enqueued_batches {enqueued}: at {best.rows_per_second:,.0f} rows/s, {fits} batches "
        f"of {size} rows are computed within the {room * 1e3:,.0f} ms that {target:,.0f} ms leave; "
        "at least num_batch_threads.",
    )
    return Proposal(
        batching=Batching(
            max_batch_size=size, num_batch_threads=threads, max_enqueued_batches=enqueued
        ),
        clients=best.clients,
        throughput=best.throughput,
        p99=best.latency["p99"],
        target=target,
        reached=reached,
        reasons=reasons,
    )


def batching_text(batching: Batching) -> str:
    """Returns the text of a batching parameters file, with powers of two as allowed sizes.

    Example:
        >>> small = Batching(max_batch_size=3, num_batch_threads=2, max_enqueued_batches=5)
        >>> batching_text(small).splitlines()[3:]
        ['num_batch_threads { value: 2 }', 'allowed_batch_sizes: 1', 'allowed_batch_sizes: 2',
        'allowed_batch_sizes: 3']
    """
    most = batching.max_batch_size
    powers = (2**n for n in range(most.bit_length()) if 2**n < most)
    lines = [f"{name} {{ value: {getattr(batching, name)} }}\n" for name in _NAMES]
    # TensorFlow Serving wants them increasing, the last one equal to the largest batch.
    return "".join([*lines, *(f"allowed_batch_sizes: {size}\n" for size in (*powers, most))])


# no example: it writes a file; see `batching_text`.
def write_batching(path: str | Path, batching: Batching) -> None:
    """Writes the file that TensorFlow Serving and `mite serve` read."""
    head = "# For --enable_batching --batching_parameters_file.\n"
    write_text(path, head + batching_text(batching))
