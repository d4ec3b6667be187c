"""The client processes: started, spoken to, ended."""

from __future__ import annotations

import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.job import Job, Outcome, Progress, Ready, Start, Stop

_MODULE = "mite_tf.serving.loadtest.client_process"


class ClientProcesses:
    """Processes that each do a job at the same time.

    They are new interpreters rather than forks, which gRPC does not survive, and rather than
    `multiprocessing`, which would run the caller's script again. Ctrl-C does not reach them; they
    end when this process does.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._inbox: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._kept: list[Any] = []  # what came while progress was waited for
        self._progress = {number: Progress(0, 0) for number in range(len(jobs))}
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            for _ in jobs
        ]
        for number, (process, job) in enumerate(zip(self._processes, jobs, strict=True)):
            _send(process, job)
            threading.Thread(target=self._listen, args=(number, process), daemon=True).start()

    def wait_until_ready(self) -> None:
        """Waits until all clients are connected.

        Raises:
            MiteError: If they cannot connect.
        """
        for _ in self._processes:
            ready = self._receive(Ready)
            if ready.problem:
                raise MiteError(ready.problem)

    def start(self, at: float) -> None:
        """Says when the measurement begins, by `time.monotonic`."""
        for process in self._processes:
            _send(process, Start(at))

    def stop(self, at: float) -> None:
        """Ends the measurement before its time."""
        for process in self._processes:
            _send(process, Stop(at))

    def wait(self, seconds: float) -> Progress:
        """Waits, and returns what all processes have done so far."""
        try:
            number, message = self._inbox.get(timeout=seconds)
        except queue.Empty:
            pass
        else:
            if isinstance(message, Progress):
                self._progress[number] = message
            else:
                self._kept.append(message)
        every = self._progress.values()
        return Progress(sum(p.answered for p in every), sum(p.failed for p in every))

    def outcomes(self) -> list[Outcome]:
        """Waits for what all processes measured."""
        return [self._receive(Outcome) for _ in self._processes]

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except BrokenPipeError:  # what was not read by a process that ended
                    continue

    def _receive(self, kind: type[Any]) -> Any:
        while True:
            message = self._kept.pop(0) if self._kept else self._inbox.get()[1]
            if message is None:
                raise MiteError("A client process ended early; what it printed tells why.")
            if isinstance(message, kind):
                return message

    def _listen(self, number: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        message: Any = ""
        while message is not None:
            try:
                message = pickle.load(process.stdout)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                message = None
            self._inbox.put((number, message))
            if isinstance(message, Outcome):
                return


@contextmanager
def client_processes(jobs: Sequence[Job]) -> Iterator[ClientProcesses]:
    """Starts processes, and ends them with the block."""
    processes = ClientProcesses(jobs)
    try:
        yield processes
    finally:
        processes.close()


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(message, process.stdin)
        process.stdin.flush()
    except BrokenPipeError:
        return  # it has ended, which `_receive` reports
