"""The engine of several machines: a task of Ray for each file of embeddings."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from mite_tf.collection.places import told
from mite_tf.collection.shard import Done, Job, embed_shard
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra

_TRIES = 3  # of a file whose process or machine is lost
_CONNECT = 10.0  # seconds in which a cluster has to answer
_AHEAD = 2  # tasks that wait for each core


def embed_on_ray(
    job: Job, numbers: Sequence[int], processes: int, address: str | None = None
) -> Iterator[Done]:
    """Writes the files of these numbers as tasks of Ray, and yields each when it is written.

    The order of files and rows is that of the plan, and one file is one task: what Ray retries is
    written again to the same bytes. Export, pictures and folder have to be reached by the same
    paths from every machine.

    Args:
        job: What is done.
        numbers: Files of the plan.
        processes: Cores of this machine to use, if no address is given.
        address: A cluster, such as `ray://head:10001` or `auto`; by default one is started here.

    Raises:
        MissingPackage: If Ray is not installed.
        MiteError: As `Embedder`, or if a file could not be written in three tries.
    """
    with from_extra("ray", "The engine 'ray'"):
        import ray
    here = {"num_cpus": processes, "include_dashboard": False} if address is None else {}
    started = not ray.is_initialized()
    if started:
        _must_answer(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise MiteError(f"{address or 'Ray'}: Ray does not start: {first[:200]}") from error
    try:
        yield from _run(ray, job, numbers)
    finally:
        if started:
            ray.shutdown()


def _must_answer(address: str | None) -> None:
    """Refuses an address at which nobody answers; Ray itself would try for ten minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
    except (OSError, OverflowError) as error:
        raise MiteError(
            f"{address}: no cluster of Ray answers: {told(error)}. Start one with `ray start`, or "
            "leave the address out to use this machine."
        ) from error


def _run(ray: Any, job: Job, numbers: Sequence[int]) -> Iterator[Done]:
    task = ray.remote(num_cpus=1, max_retries=_TRIES)(embed_shard)
    most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    running: list[Any] = []
    for number in numbers:
        running.append(task.remote(job, number))
        if len(running) >= most:
            yield _first(ray, running)
    while running:
        yield _first(ray, running)


def _first(ray: Any, running: list[Any]) -> Done:
    """Waits for the first task that ends, and takes it out."""
    [ended], running[:] = ray.wait(running)
    try:
        done: Done = ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MiteError | OSError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise MiteError(
            f"Ray has lost a task {_TRIES + 1} times: {type(error).__name__}. What is written is "
            "whole: give the same command again to go on."
        ) from error
    return done
