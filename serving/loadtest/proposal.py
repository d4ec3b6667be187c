"""Batching parameters that fit what a sweep measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mite_tf.errors import MiteError
from mite_tf.serving.client.options import ROWS_PER_REQUEST
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.server.batching import Batching

_ERRORS = 0.01  # share of errors above which a load counts as too much
_LARGEST = 1024  # rows; beyond it, no server here gains


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Batching parameters for a latency, and the load that they were derived from.

    Attributes:
        batching: The parameters.
        clients: Number of clients at which the server is used best.
        throughput: Requests a second with them.
        p99: Milliseconds, measured with them.
        target: Milliseconds that were asked for, or twice the `p99` of that load.
        reached: Whether a load stayed under `target`; otherwise the lightest was taken.
        reasons: Why each parameter is what it is, a sentence each.
    """

    batching: Batching
    clients: int
    throughput: float
    p99: float
    target: float
    reached: bool
    reasons: tuple[str, ...]


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
    p99 is greatest.

    Args:
        results: Load tests of one server that differ in their number of clients.
        p99: Latency in milliseconds that 99 of 100 requests must not exceed.
        threads: Cores of the server that batches may use.
        largest_request: Rows of the largest request that must be taken; by default that of
            `EmbeddingClient`. A server refuses a request of more than `max_batch_size` rows.

    Returns:
        The proposal.

    Raises:
        MiteError: If there is no load with answers.

    Reference:
        L. Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in
        computer communications", ICC 1979: the knee. The rule for threads, and a timeout of 0 to
        begin with on processors: TensorFlow Serving's batching guide,
        `tensorflow_serving/batching/README.md`.
    """
    usable = [each for each in results if each.answered and each.error_rate < _ERRORS]
    if not usable:
        raise MiteError("Nothing can be proposed: at every load, more than 1 % of requests failed.")
    lone = min(usable, key=lambda each: each.clients)
    if p99 is None:
        best, reached = max(usable, key=lambda each: each.throughput / each.latency.p99), True
        target = 2 * best.latency.p99
    else:
        within = [each for each in usable if each.latency.p99 <= p99]
        best = max(within, key=lambda each: each.throughput) if within else lone
        target, reached = p99, bool(within)
    size, size_reason = _batch_size(best, threads, largest_request)
    # A full queue of E batches of B rows takes E·B / X seconds at X rows a second. A request that
    # is let in last still has to be computed, for which a lone client's median stands.
    room = max(0.0, target - lone.latency.p50) / 1e3
    fits = math.floor(best.rows_per_second * room / size)
    enqueued = max(threads, fits)
    queue_reason = (
        f"max_enqueued_batches {enqueued}: at {best.rows_per_second:,.0f} rows/s, "
        f"{fits} batches of {size} rows are computed within the {room * 1e3:,.0f} ms that "
        f"{target:,.0f} ms leave; at least num_batch_threads."
    )
    reasons = (
        f"max_batch_size {size}: {size_reason}",
        f"num_batch_threads {threads}: one for each core of the server.",
        "batch_timeout_micros 0: what queues while a batch is computed makes the next one; waiting "
        "would delay a lone client.",
        queue_reason,
    )
    return Proposal(
        batching=Batching(
            max_batch_size=size, num_batch_threads=threads, max_enqueued_batches=enqueued
        ),
        clients=best.clients,
        throughput=best.throughput,
        p99=best.latency.p99,
        target=target,
        reached=reached,
        reasons=reasons,
    )


def _batch_size(best: LoadTestResult, threads: int, largest_request: int) -> tuple[int, str]:
    found = best.batch_sizes
    if found is not None and found.batches:
        wanted = 2 * found.mean
        reason = f"twice the {found.mean:.1f} rows of a batch at {best.clients} clients"
    else:
        wanted = best.clients * best.batch / threads
        reason = f"the rows that {best.clients} clients have under way, shared by the threads"
    size = min(_LARGEST, 2 ** math.ceil(math.log2(max(1.0, wanted))))
    least = max(best.batch, largest_request)
    if size < least:
        return least, f"a request may have so many rows; batches of {size} would do."
    return size, f"{reason}, up to the next power of two."
