"""What is being received: how much at a time, and for how long."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from resource import getpagesize
from typing import Any

import grpc

from mite_tf.serving.server.lanes import LIGHT
from mite_tf.serving.server.outcomes import Refusal, stopping

# A request must be whole after so many seconds; when the server stops, after so many more.
RECEIVE_SECONDS, _AT_STOP = 30.0, 1.0
# Requests of the largest size for which there is room. Each is there twice for a moment, as the
# message and as what is read from it; with them and a small model a process takes about 1 GB.
_LARGEST = 2
# Requests of this share of the largest size may take this share more, which large ones leave them.
_USUAL, _SPARE = 1 / 64, 1 / 4
# Messages that are not there within so many seconds, though others that began so much later are,
# or not there in a longer time at all, are slow.
_AT_ONCE, _AT_ALL = 0.1, 0.2
# So often they are looked at; so many more may begin until then; so many may be slow. What was
# freed is given back at most so often; what is held for so long is held at rest.
_LOOK, _FRESH, _SLOW, _TRIM, _LEARN = 0.05, 4, 1000, 0.5, 3.0
# `M_MMAP_THRESHOLD` of glibc, and bytes of a block from which on it is mapped by itself.
_M_MMAP_THRESHOLD, _BLOCK = -3, 1 << 20


# no example: it lives on the event loop of a server; see `start_server`.
class Intake:
    """Room for the requests of both sides; lives on the event loop.

    A body of HTTP says how large it is before it comes, or is counted as it comes. A message of
    gRPC is known only when it is whole. So few are begun at a time, and those that take their time
    are bounded by what the process holds: when it has grown by the whole room, only as many go on
    as would fit if each were of the largest size, the oldest first.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._room = _LARGEST * most_bytes
        self._taken = 0
        self._closed = False
        self._bodies: set[asyncio.Timeout] = set()
        # Calls of which a message is awaited, with the time since when.
        self._calls: dict[Any, float] = {}
        self._there = 0.0  # when the latest of those began that are there
        self._most_calls = _FRESH
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}  # of each connection
        self._ended: dict[Any, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._trimmed = 0.0
        self._at_rest: float = _resident()
        self._least = math.inf  # since when it is looked at
        self._learned = 0.0

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that counts bytes as held until the block ends, or refuses them.

        Little is never refused: the queue bounds the rows of small requests.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            usual = held + size <= _USUAL * self._most
            room = self._room + usual * int(_SPARE * self._most)
            if held + size > LIGHT and self._taken + size > room:
                raise Refusal(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"Requests of {self._taken} bytes are under way, and {size} more do not fit "
                    f"into {room}. Try again later, or send less in a request.",
                )
            held += size
            self._taken += size

        try:
            yield take
        finally:
            self._taken -= held
            if held > LIGHT:
                self._watch()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Ends the block, which receives a body of HTTP, when it takes too long."""
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                self._bodies.add(timeout)
                try:
                    yield
                finally:
                    self._bodies.discard(timeout)
        except TimeoutError as error:
            raise self._too_late() from error

    async def read(self, context: grpc.aio.ServicerContext) -> Any:
        """Returns the next message of a call of gRPC as bytes, or `grpc.aio.EOF`.

        Raises what `abort` raises if the call is ended meanwhile.
        """
        self._watch()
        while len(self._calls) >= self._most_calls:
            turn = self._loop.create_future()
            self._turns.setdefault(context.peer(), deque()).append(turn)
            await turn
        self._calls[context] = begun = self._loop.time()
        try:
            data = await context.read()
            self._there = max(self._there, begun)
        finally:
            self._calls.pop(context, None)
            ended = self._ended.pop(context, None)
            self._let_in(1)
        if ended is not None:  # in the moment in which the message was whole
            await ended
        return data

    def _watch(self) -> None:
        if self._timer is None:
            self._due = self._loop.time() + _LOOK
            self._timer = self._loop.call_at(self._due, self._look)

    def _let_in(self, count: int) -> None:
        while count > 0 and self._turns:
            peer = next(iter(self._turns))
            turns = self._turns.pop(peer)
            turn = turns.popleft()
            if turns:
                self._turns[peer] = turns  # after those of other connections
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def close(self) -> None:
        """Ends what is not received whole within a second from now."""
        self._closed = True
        soon = self._loop.time() + self._seconds
        for timeout in self._bodies:
            timeout.reschedule(soon)
        for context in self._calls:
            self._calls[context] = soon - self._seconds

    @property
    def _seconds(self) -> float:
        return _AT_STOP if self._closed else RECEIVE_SECONDS

    def _too_late(self) -> Refusal:
        if self._closed:
            return stopping()
        return Refusal(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"The request was not received whole within {RECEIVE_SECONDS:g} seconds. Send less in "
            "a request, or faster.",
        )

    def _look(self) -> None:
        now = self._loop.time()
        late, slow, waiting = now - self._due, [], 0
        for context, since in list(self._calls.items()):
            since += late  # the loop was held up: what has come by now could not be taken
            self._calls[context] = since
            waiting += now - since > _LOOK
            if now - since > self._seconds:
                self._end(context, self._too_late())
            elif now - since > _AT_ALL or self._there - since > _AT_ONCE:
                slow.append(context)
        fit = _SLOW
        if not waiting and not self._taken:
            self._rest(now)
        elif not self._is_roomy(now):
            fit = max(1, (self._room - self._taken) // self._most)
        text = "The server receives too much at once. Try again later, or send less at a time."
        for context in slow[fit:]:
            self._end(context, Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, text))
        self._most_calls = _FRESH + (2 * waiting if fit == _SLOW else min(len(slow), fit))
        self._let_in(self._most_calls - len(self._calls))
        self._timer = None
        if self._calls or self._turns:
            self._watch()

    def _rest(self, now: float) -> None:
        """Takes what the process holds without requests for its size at rest, once it is free."""
        held = _resident()
        if held - self._at_rest > self._most // 2 and now - self._trimmed > _TRIM:
            self._trimmed = now
            _give_back()
            held = _resident()
        # A picture may be decoded just now: only what is held all the time is not to be freed.
        if self._least == math.inf:
            self._learned = now
        self._least = min(self._least, held)
        self._at_rest = min(self._at_rest, held)
        if now - self._learned > _LEARN:
            self._at_rest, self._least = self._least, math.inf

    def _is_roomy(self, now: float) -> bool:
        """Returns whether the process has not grown by the whole room; gives back what is free."""
        if _resident() - self._at_rest < self._room:
            return True
        if now - self._trimmed > _TRIM:
            self._trimmed = now
            _give_back()
        return _resident() - self._at_rest < self._room

    def _end(self, context: Any, refusal: Refusal) -> None:
        # Not by cancelling the one who reads: gRPC would write to what is freed by then.
        del self._calls[context]
        abort = context.abort(refusal.code, str(refusal))
        self._ended[context] = task = self._loop.create_task(abort)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _give_back() -> None:
    """Returns free memory to the system, where its C library can: it keeps pieces of messages."""
    gc.collect()  # connections that encrypt refer to themselves, and have large buffers
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def give_back_at_once() -> None:
    """Has the C library give large blocks back when they are freed, where it can be told so.

    Left alone, glibc keeps blocks of up to 32 MB, once it has seen one of that size freed.

    Example:
        >>> give_back_at_once()
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _BLOCK)


def _resident() -> int:
    """Returns the bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
    except OSError:
        return 0
