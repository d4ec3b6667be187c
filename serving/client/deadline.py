"""One deadline for a whole call, however many requests and attempts it takes."""

from __future__ import annotations

import time


class Deadline:
    """Counts down from its making.

    Args:
        timeout: Seconds; None for no limit.

    Example:
        >>> Deadline(None).left() is None, 9 < Deadline(10).left() <= 10
        (True, True)
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Returns the seconds that are left, 0 or less when there are none; None for no limit."""
        return None if self._end is None else self._end - time.monotonic()
