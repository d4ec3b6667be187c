"""One process of clients; `main` is what it runs.

Over a pipe it gets a `Job` and answers when all its clients are connected. Then it gets the time at
which the measurement begins, and answers with its `Outcome`. A time that comes in between ends the
measurement early, and so does the end of the pipe.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from mite_tf.serving.loadtest.requests import PREDICT, Requests, metadata_of, open_channel
from mite_tf.serving.loadtest.result import SAMPLE

_CONNECT = 10.0  # seconds until all connections must stand


# no example: part of `load_test`.
class Job(NamedTuple):
    """What a client process does; all times are in seconds."""

    requests: Requests
    first: int  # the request to begin with
    clients: int
    warmup: float
    seconds: float
    deadline: float
    interval: float | None  # from one request to the next; None: as soon as an answer is there
    offset: float  # until the first request, so that processes take turns


# no example: part of `load_test`.
class Outcome(NamedTuple):
    """What a client process measured."""

    samples: np.ndarray  # `SAMPLE`
    not_sent: int  # requests that fell due but found no free client
    messages: dict[str, str]  # one for each status code of an error
    busy: float  # share of the time in which its main thread ran or waited for a processor


# no example: part of `load_test`.
def main() -> None:
    """Does one job; the pipe's file descriptor is its argument."""
    pipe = Connection(int(sys.argv[1]))
    # epoll, the default, wakes up to a millisecond late; select does not.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with suppress(EOFError, OSError):  # the parent is gone
        loop.run_until_complete(_Clients(pipe.recv(), pipe).run())


class _Clients:
    def __init__(self, job: Job, pipe: Connection) -> None:
        self.job, self.pipe = job, pipe
        self.metadata = metadata_of(job.requests.connection)
        self.samples: list[tuple[float, float, float, int]] = []
        self.messages: dict[str, str] = {}
        self.taken = 0  # requests of the schedule that a client took
        self.marks: list[tuple[float, float]] = []  # time, and busy seconds until then

    async def run(self) -> None:
        connection = self.job.requests.connection
        channels = [open_channel(connection, grpc.aio) for _ in range(self.job.clients)]
        try:
            async with asyncio.timeout(_CONNECT):
                await asyncio.gather(*(channel.channel_ready() for channel in channels))
        except TimeoutError:
            sys.exit(f"{len(channels)} connections did not stand within {_CONNECT:.0f} seconds.")
        self.pipe.send(None)
        loop = asyncio.get_running_loop()
        self.start = await loop.run_in_executor(None, self.pipe.recv)
        self.begin, self.stop = self.start - self.job.warmup, self.start + self.job.seconds
        for moment in (self.start, self.stop):
            loop.call_at(moment, self._mark)
        clients = [loop.create_task(self._client(n, c)) for n, c in enumerate(channels)]
        loop.add_reader(self.pipe.fileno(), self._stop_early, clients)
        for ended in await asyncio.gather(*clients, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        await asyncio.gather(*(channel.close() for channel in channels))
        self.pipe.send(self._outcome())

    def _stop_early(self, clients: list[asyncio.Task[None]]) -> None:
        asyncio.get_running_loop().remove_reader(self.pipe.fileno())
        try:
            self.stop = min(self.stop, self.pipe.recv())
        except EOFError:
            self.stop = time.monotonic()
        for client in clients:  # what is still under way is not waited for
            client.cancel()

    async def _client(self, number: int, channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(PREDICT)
        messages, turn = self.job.requests.messages, self.job.first + number
        await _sleep_until(self.begin)
        while time.monotonic() < self.stop:
            due = None
            if self.job.interval is not None:
                due = self.begin + self.job.offset + self.taken * self.job.interval
                if due >= self.stop:
                    return
                self.taken += 1
                await _sleep_until(due)
            await self._request(call, messages[turn % len(messages)], due)
            turn += self.job.clients

    async def _request(self, call: Any, message: bytes, due: float | None) -> None:
        sent, code = time.monotonic(), 0
        try:
            await call(message, timeout=self.job.deadline, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            code = error.code().value[0]
            self.messages.setdefault(error.code().name, error.details() or "")
        self.samples.append((sent if due is None else due, sent, time.monotonic(), code))
        if code:
            # A server that refuses at once must not be asked again in the same instant.
            await asyncio.sleep(0.001)

    def _mark(self) -> None:
        busy = time.thread_time()
        schedule = Path("/proc/thread-self/schedstat")  # Linux: nanoseconds run, and waited to run
        if schedule.exists():
            ran, waited, _ = schedule.read_text().split()
            busy = (int(ran) + int(waited)) / 1e9
        self.marks.append((time.monotonic(), busy))

    def _outcome(self) -> Outcome:
        samples = np.array(self.samples, SAMPLE)
        for name in ("due", "sent", "ended"):
            samples[name] -= self.start
        not_sent = 0
        if self.job.interval is not None:
            span = self.stop - self.begin - self.job.offset
            not_sent = max(0, math.ceil(span / self.job.interval) - self.taken)
        self._mark()  # counts where it was stopped before the end
        (began, before), (ended, after) = self.marks[0], self.marks[1 % len(self.marks)]
        busy = (after - before) / (ended - began) if ended > began else 0.0
        return Outcome(samples=samples, not_sent=not_sent, messages=self.messages, busy=busy)


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
