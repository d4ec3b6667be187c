"""Many clients at once, measured."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.serving.client.tls import ClientTLS
from mite_tf.serving.loadtest.batch_sizes import PATHS, fetch_batch_counts
from mite_tf.serving.loadtest.job import Job
from mite_tf.serving.loadtest.measurement import Measurement
from mite_tf.serving.loadtest.processes import client_processes
from mite_tf.serving.loadtest.requests import Requests, prepare
from mite_tf.serving.loadtest.result import LoadTestResult, summarise
from mite_tf.serving.loadtest.samples import joined
from mite_tf.serving.loadtest.target import HTTP_PORT, Target, make_target

_LOCAL = {"localhost", "127.0.0.1", "::1"}


def load_test(
    host: str,
    *,
    clients: int = 32,
    seconds: float = 20.0,
    warmup: float = 2.0,
    model: str = "text",
    signature: str = "serving_default",
    batch: int = 1,
    inputs: str | Path | None = None,
    rate: float | None = None,
    deadline: float = 10.0,
    processes: int | None = None,
    tls: bool | ClientTLS = False,
    token: str | None = None,
    metrics: str | None = None,
    quiet: bool = False,
) -> LoadTestResult:
    """Sends requests from many clients at once and measures how they are answered.

    Without `rate`, each client sends its next request when it has the answer to the last: what a
    fixed number of callers sees. With it, requests fall due at even intervals whatever the
    server does, as those of independent users do, and latency counts from when a request was
    due: a stall then shows in every request that it delays, where clients that wait for their
    answers would just not ask.

    Ctrl-C ends it and gives what was measured so far.

    Args:
        host: Host, with or without a port (default 8500), of TensorFlow Serving or `mite serve`.
        clients: Number of clients, each with a connection of its own; with `rate`, the most
            requests that are under way at once.
        seconds: How long to measure.
        warmup: How long to send before that.
        model: Name of the model.
        signature: Name of the signature; its one input is asked of the server.
        batch: Rows in each request.
        inputs: A text file with a caption a line, an image file or a folder of them, or an
            export, whose verification cases are sent. By default, captions and pictures of
            rendered scenes.
        rate: Requests a second.
        deadline: Seconds after which a request has failed.
        processes: Number of client processes; by default one for each core, and half of that
            where the server runs on this machine too.
        tls: Whether to encrypt, or the certificates of the client.
        token: Bearer token.
        metrics: Address of the server's metrics, for batch sizes (default: port 8501 of the host,
            at TensorFlow Serving's path).
        quiet: Shows no progress.

    Returns:
        What was measured.

    Raises:
        MiteError: If a number is not positive, or the server does not answer a first request.

    Example:
        >>> load_test("localhost:8500", clients=0)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: clients must be positive; received 0.
    """
    positive = {"clients": clients, "seconds": seconds, "batch": batch, "deadline": deadline}
    for name, value in {**positive, "rate": rate, "processes": processes}.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise MiteError(f"{name} must be positive; received {value}.")
    if not 0 <= warmup < math.inf:
        raise MiteError(f"warmup must not be negative; received {warmup}.")
    target = make_target(host, tls=tls, token=token)
    requests = prepare(
        target, model=model, signature=signature, batch=batch, inputs=inputs, deadline=deadline
    )
    jobs = _jobs(
        target,
        requests,
        clients=clients,
        processes=min(clients, processes or _processes(target)),
        seconds=seconds,
        warmup=warmup,
        deadline=deadline,
        rate=rate,
    )
    urls = [metrics] if metrics else _metrics_urls(target)
    with client_processes(jobs) as running:
        running.wait_until_ready()
        measured = Measurement(running, seconds, warmup, lambda: fetch_batch_counts(urls, model))
        outcomes = measured.run(f"{target.address}, {clients} clients", quiet=quiet)
    before, after = measured.counts
    return summarise(
        joined([outcome.samples for outcome in outcomes]),
        seconds=measured.seconds,
        batch=batch,
        messages={k: v for outcome in outcomes for k, v in outcome.messages.items()},
        client_seconds=sum(outcome.cpu_seconds for outcome in outcomes),
        target=target.address,
        model=model,
        signature=signature,
        version=requests.version,
        clients=clients,
        processes=len(jobs),
        rate=rate,
        not_sent=sum(outcome.not_sent for outcome in outcomes),
        client_busy=max(outcome.busy for outcome in outcomes),
        batch_sizes=after.since(before) if before and after else None,
        interrupted=measured.interrupted,
    )


def _processes(target: Target) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // (2 if target.host in _LOCAL else 1))


def _metrics_urls(target: Target) -> list[str]:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return [f"http://{host}:{HTTP_PORT}{path}" for path in PATHS]


def _jobs(
    target: Target,
    requests: Requests,
    *,
    clients: int,
    processes: int,
    seconds: float,
    warmup: float,
    deadline: float,
    rate: float | None,
) -> Sequence[Job]:
    return [
        Job(
            target=target,
            messages=requests.messages,
            clients=clients // processes + (number < clients % processes),
            seconds=seconds,
            warmup=warmup,
            deadline=deadline,
            interval=processes / rate if rate else None,
            offset=number / rate if rate else 0.0,
            first=number * len(requests.messages) // processes,
        )
        for number in range(processes)
    ]
