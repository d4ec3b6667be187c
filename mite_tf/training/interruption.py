"""Stopping a training without losing what it has done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interruption:
    """Turns the first Ctrl-C or SIGTERM into a request that long work answers when it is safe.

    A second signal stops at once, as without this class. In a thread other than the main one
    signals cannot be caught and nothing changes.

    Example:
        >>> with Interruption() as interruption:
        ...     signal.raise_signal(signal.SIGTERM)  # what Ctrl-C or `kill` does
        ...     interruption.requested
        True
    """

    def __init__(self) -> None:
        self.requested = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._earlier[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        while self._earlier:
            signal.signal(*self._earlier.popitem())

    def stop_if_requested(self) -> None:
        """Raises `KeyboardInterrupt` if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    def between(self, report: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Returns a progress callback that stops where it is called, if a signal has come."""

        def reported(done: int, total: int) -> None:
            report(done, total)
            self.stop_if_requested()

        return reported
