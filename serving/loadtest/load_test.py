"""Many clients at once, measured."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.progress import CONSOLE
from mite_tf.serving.client import ClientTLS
from mite_tf.serving.loadtest.client_process import Job, Outcome
from mite_tf.serving.loadtest.requests import prepare
from mite_tf.serving.loadtest.result import LoadTestResult, summarise

_CLIENT = "from mite_tf.serving.loadtest.client_process import main; main()"


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
        inputs: A text file with a caption a line, an image file, or a folder of them. By default
            they are generated.
        rate: Requests a second.
        deadline: Seconds after which a request has failed.
        processes: Number of client processes; by default one for each core, and half of that
            where the server runs on this machine too.
        tls: Whether to encrypt, or the certificates of the client.
        token: Bearer token.
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
    for option, value in {**positive, "rate": rate, "processes": processes}.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise MiteError(f"{option} must be positive; received {value}.")
    if not 0 <= warmup < math.inf:
        raise MiteError(f"warmup must not be negative; received {warmup}.")
    requests = prepare(
        host,
        model=model,
        signature=signature,
        batch=batch,
        inputs=inputs,
        deadline=deadline,
        tls=tls,
        token=token,
    )
    target = requests.connection.target
    count = min(clients, processes or _processes(target.rpartition(":")[0]))
    jobs = [
        Job(
            requests=requests,
            first=number * len(requests.messages) // count,
            clients=clients // count + (number < clients % count),
            warmup=warmup,
            seconds=seconds,
            deadline=deadline,
            interval=count / rate if rate else None,
            offset=number / rate if rate else 0.0,
        )
        for number in range(count)
    ]
    text = f"{target}: {clients} clients for {seconds:g} s, after {warmup:g} s of warm-up"
    shown = CONSOLE.is_terminal and not CONSOLE.is_jupyter and not quiet
    with _client_processes(jobs) as pipes, CONSOLE.status(text) if shown else nullcontext():
        start = time.monotonic() + warmup + 0.05  # time for all processes to hear of it
        end, interrupted = start + seconds, False
        _send(pipes, [start] * count)
        try:
            time.sleep(end - time.monotonic())
            for pipe in pipes:
                pipe.poll(None)
        except KeyboardInterrupt:
            interrupted, end = True, min(end, time.monotonic())
            _send(pipes, [end] * count)
        outcomes: list[Outcome] = [_receive(pipe) for pipe in pipes]
    return summarise(
        np.concatenate([outcome.samples for outcome in outcomes]),
        seconds=max(0.0, end - start),
        batch=batch,
        messages={k: v for outcome in outcomes for k, v in outcome.messages.items()},
        target=target,
        model=model,
        signature=signature,
        version=requests.version,
        clients=clients,
        processes=count,
        rate=rate,
        not_sent=sum(outcome.not_sent for outcome in outcomes),
        client_busy=max(outcome.busy for outcome in outcomes),
        interrupted=interrupted,
    )


def _processes(host: str) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    here = host in ("localhost", "127.0.0.1", "[::1]")
    return max(1, (cores or 1) // (2 if here else 1))


@contextmanager
def _client_processes(jobs: Sequence[Job]) -> Iterator[list[Connection]]:
    """Runs a process for each job; yields the pipes to them when all clients are connected.

    They are new interpreters rather than forks, which gRPC does not survive, and rather than
    `multiprocessing`'s, which would run the caller's script again. Ctrl-C does not reach them.
    """
    processes: list[subprocess.Popen[bytes]] = []
    pipes: list[Connection] = []
    try:
        for _ in jobs:
            ours, theirs = Pipe()
            pipes.append(ours)
            with theirs:
                number = theirs.fileno()
                command = [sys.executable, "-c", _CLIENT, str(number)]
                process = subprocess.Popen(command, pass_fds=[number], start_new_session=True)
                processes.append(process)
        _send(pipes, jobs)
        for pipe in pipes:
            _receive(pipe)
        yield pipes
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for pipe in pipes:
            pipe.close()


def _send(pipes: Sequence[Connection], messages: Sequence[Any]) -> None:
    for pipe, message in zip(pipes, messages, strict=True):
        with suppress(OSError):  # the process has ended, which `_receive` reports
            pipe.send(message)


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError) as error:
        raise MiteError("A client process ended early; what it printed tells why.") from error
