"""Threads that read and prepare requests, in lanes, so that no small one waits for a large one."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

# Pixels, or bytes of text, of a request in the first lane; and of its largest row in the second. A
# row takes at most 5 bytes a pixel while it is decoded, so that the second lane takes 80 MB a core.
# Larger rows are decoded one at a time.
_SMALL, _LARGE = 1 << 20, 16_000_000
_CORES = os.cpu_count() or 1
# Bytes of a request, or numbers one by one, beyond which reading them would hold up others.
LIGHT = 1 << 16
# Bytes of prepared rows, in each lane, that may wait for the model.
_ROOM = _CORES << 25


# no example: it lives on the event loop of a server; see `start_server`.
class Lane:
    """Threads, and room for what they have prepared: who comes first, goes first."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "mite-prepare")
        self._free = _ROOM
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function in a thread, unless its caller has gone before one is free."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, function, *arguments)

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Waits until there is room for so many bytes, and keeps it in the block."""
        if not size:
            yield
            return
        size = min(size, _ROOM)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._let_in()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += size
            self._let_in()

    def close(self) -> None:
        """Begins no more rows; threads end with those that they work on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if size > self._free:
                    return
                self._free -= size
                turn.set_result(None)
            self._waiting.popleft()


# no example: it lives on the event loop of a server; see `start_server`.
class Lanes:
    """A lane for small requests, one for those of usual rows, and one for rows that are large.

    Before that, requests are read in two lanes of their own.
    """

    def __init__(self) -> None:
        self._lanes = [Lane(_CORES), Lane(_CORES), Lane(1)]
        # Bytes are read in no time. Many values keep the interpreter whatever thread reads them, so
        # that two requests at once would take as long as one after the other, and twice the memory.
        self._bytes, self._values = Lane(1), Lane(1)

    def choose(self, costs: Sequence[int]) -> Lane:
        """Returns the lane for a request by the pixels, or bytes, of its rows."""
        small, usual, large = self._lanes
        return small if sum(costs) <= _SMALL else usual if max(costs) <= _LARGE else large

    async def read(
        self, size: int, function: Callable[..., Any], *arguments: Any, values: int = 0
    ) -> Any:
        """Calls a function that reads so many bytes, or makes so many values of them.

        Little is read where this is called, and much in a thread.
        """
        if max(size, values) <= LIGHT:
            return function(*arguments)
        lane = self._bytes if values <= LIGHT else self._values
        return await lane.work(function, *arguments)

    def close(self) -> None:
        """Ends all threads."""
        for lane in (*self._lanes, self._bytes, self._values):
            lane.close()


def pieces(costs: Sequence[int]) -> Iterator[slice]:
    """Divides the rows of a request into parts that take about a hundredth of a second.

    Between two of them others get their turn, and a caller who has gone is noticed.

    Example:
        >>> list(pieces([10, 10, 2_000_000, 10]))
        [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    first, total = 0, 0
    for number, cost in enumerate(costs):
        if total and total + cost > _SMALL:
            yield slice(first, number)
            first, total = number, 0
        total += cost
    yield slice(first, len(costs))
