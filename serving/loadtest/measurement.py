"""The time in which a load test measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mite_tf.progress import CONSOLE
from mite_tf.serving.loadtest.batch_sizes import BatchCounts
from mite_tf.serving.loadtest.job import Outcome, Progress
from mite_tf.serving.loadtest.processes import ClientProcesses


class Measurement:
    """One measurement: its times, its progress, and the server's counts before and after.

    Args:
        running: The client processes, connected.
        seconds: How long it measures.
        warmup: How long they send before.
        count: Asks the server for its counts of batches.
    """

    def __init__(
        self,
        running: ClientProcesses,
        seconds: float,
        warmup: float,
        count: Callable[[], BatchCounts | None],
    ) -> None:
        self.running, self.count = running, count
        self.start = time.monotonic() + warmup + 0.05  # time for all processes to hear of it
        self.end = self.start + seconds
        self.counts: tuple[BatchCounts | None, BatchCounts | None] = (None, None)
        self.interrupted = False

    @property
    def seconds(self) -> float:
        """How long it measured."""
        return max(0.0, self.end - self.start)

    def run(self, what: str, *, quiet: bool) -> list[Outcome]:
        """Lets the clients send until the end, or until Ctrl-C, and returns what they measured."""
        self.running.start(self.start)
        before = None
        try:
            with _progress_line(f"{what}: warming up", quiet=quiet) as show:
                progress = self._wait(self.start)
                before = self.count()
                first = progress
                while time.monotonic() < self.end:
                    progress = self._wait(min(self.end, time.monotonic() + 0.5))
                    show(f"{what}: {self._told(first, progress)}")
                self.counts = (before, self.count())
            return self.running.outcomes()
        except KeyboardInterrupt:
            self.interrupted = True
            self.end = min(self.end, time.monotonic())
            self.running.stop(self.end)
            self.counts = (before, self.count())
            return self.running.outcomes()

    def _wait(self, moment: float) -> Progress:
        progress = self.running.wait(0.0)
        while (left := moment - time.monotonic()) > 0:
            progress = self.running.wait(left)
        return progress

    def _told(self, first: Progress, now: Progress) -> str:
        passed = min(time.monotonic(), self.end) - self.start
        speed = (now.answered - first.answered) / passed
        failed = f", {now.failed:,} errors" if now.failed else ""
        return f"{passed:.0f} of {self.seconds:.0f} s, {speed:,.0f} answers/s{failed}"


@contextmanager
def _progress_line(text: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    if quiet or not CONSOLE.is_terminal or CONSOLE.is_jupyter:
        yield lambda _: None
        return
    with CONSOLE.status(text) as status:
        yield status.update
