"""The engine of one machine: a process for each core, each with one file of embeddings at a time.

The processes are new interpreters rather than forks, and rather than `multiprocessing`'s, which
would run the caller's script again. Ctrl-C does not reach them; a pipe that ends does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread

from mite_tf.collection.shard import Done, Embedder, Job, embed_shard
from mite_tf.errors import MiteError

_CHILD = "from mite_tf.collection.local import main; main()"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Returns how many cores this process may use.

    Example:
        >>> cores() > 0
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def embed_locally(job: Job, numbers: Sequence[int], processes: int) -> Iterator[Done]:
    """Writes the files of these numbers, and yields each when it is written.

    Close the generator to stop early: the processes are killed, and no file is half-written.

    Args:
        job: What is done.
        numbers: Files of the plan.
        processes: How many at a time; one works in this process.

    Raises:
        MiteError: As `Embedder`, or if a process has died.
    """
    if processes == 1:
        yield from map(Embedder(job).shard, numbers)
        return
    with ExitStack() as stack:
        pipes = [_child(stack) for _ in range(processes)]
        waiting, under_way = iter(numbers), 0
        for pipe in pipes:
            under_way += _give(pipe, job, waiting)
        while under_way:
            ready = wait(pipes)
            for pipe in (each for each in pipes if each in ready):
                try:
                    done = pipe.recv()
                except (EOFError, OSError) as error:
                    raise MiteError(
                        "A process that embeds has died, perhaps for want of memory. What is "
                        "written is whole: give the same command again to go on, with fewer "
                        "processes=... (--processes ...) to take less memory."
                    ) from error
                if isinstance(done, BaseException):
                    raise done
                under_way += _give(pipe, job, waiting) - 1
                yield done


def main() -> None:
    """Is what a process runs: embeds what it is told by the pipe that its argument names."""
    pipe = Connection(int(sys.argv[1]))
    told: SimpleQueue[tuple[Job, int]] = SimpleQueue()
    Thread(target=_listen, args=(pipe, told), daemon=True).start()
    while True:
        try:
            done: Done | Exception = embed_shard(*told.get())
        except (MiteError, OSError, MemoryError) as error:
            done = error
        pipe.send(done)


def _listen(pipe: Connection, told: SimpleQueue[tuple[Job, int]]) -> None:
    with suppress(EOFError, OSError):
        while True:
            told.put(pipe.recv())
    os._exit(1)  # the parent is gone: nobody waits for what would still be written


def _child(stack: ExitStack) -> Connection:
    ours, theirs = Pipe()
    stack.callback(ours.close)
    with theirs:
        handle = theirs.fileno()
        # One thread for each process: as many processes as cores do the rest.
        environment = os.environ | dict.fromkeys(_THREADS, "1")
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(handle)],
            pass_fds=[handle],
            start_new_session=True,
            env=environment,
        )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return ours


def _give(pipe: Connection, job: Job, waiting: Iterator[int]) -> bool:
    """Gives a process its next file, if there is one left."""
    number = next(waiting, None)
    if number is not None:
        with suppress(OSError):  # it has died, which is told when its answer is read
            pipe.send((job, number))
    return number is not None
