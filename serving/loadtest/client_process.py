"""One process of clients: `python -m mite_tf.serving.loadtest.client_process`.

It reads a `Job` from standard input, says `Ready`, waits for `Start`, and writes its `Outcome`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import selectors
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np

from mite_tf.serving.loadtest.job import Job, Outcome, Progress, Ready, Start, Stop
from mite_tf.serving.loadtest.requests import PREDICT
from mite_tf.serving.loadtest.samples import DTYPES, Samples

_CONNECT = 10.0  # seconds until a connection must stand


def main() -> None:
    """Does one job."""
    # Whatever prints goes to standard error: standard output carries messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = pickle.load(sys.stdin.buffer)
    # epoll, the default, wakes up to a millisecond late; select does not.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(_Clients(job, out).run())


class _Clients:
    def __init__(self, job: Job, out: IO[bytes]) -> None:
        self.job, self.out = job, out
        self.columns: dict[str, list[float]] = {name: [] for name in DTYPES}
        self.messages: dict[str, str] = {}
        self.failed = 0
        self.taken = 0  # requests of the schedule that a client took
        self.start = self.stop = 0.0
        self.usage: list[tuple[float, float, float]] = []

    async def run(self) -> None:
        channels = [self.job.target.aio_channel() for _ in range(self.job.clients)]
        orders: asyncio.Queue[Start | Stop] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(loop, orders), daemon=True).start()
        self._tell(Ready(await self._connect(channels)))
        order = await orders.get()
        if isinstance(order, Start):
            self.start, self.stop = order.at, order.at + self.job.seconds
            await self._measure(channels, orders)
        await asyncio.gather(*(channel.close() for channel in channels))
        self._tell(self._outcome())

    async def _connect(self, channels: list[grpc.aio.Channel]) -> str:
        try:
            async with asyncio.timeout(_CONNECT):
                await asyncio.gather(*(channel.channel_ready() for channel in channels))
        except TimeoutError:
            return f"{len(channels)} connections did not stand within {_CONNECT:.0f} seconds."
        return ""

    async def _measure(
        self, channels: list[grpc.aio.Channel], orders: asyncio.Queue[Start | Stop]
    ) -> None:
        clients = [asyncio.create_task(self._client(n, c)) for n, c in enumerate(channels)]
        helpers = [asyncio.create_task(self._report()), asyncio.create_task(self._meter())]
        stopped = asyncio.create_task(orders.get())
        pending = {stopped, *clients}
        while pending > {stopped} and not stopped.done():
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():  # early: what is still under way is not waited for
            self.stop = min(self.stop, stopped.result().at)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        for helper in (*helpers, stopped):
            helper.cancel()
        for client in clients:
            if not client.cancelled():
                client.result()  # raises what went wrong in it
        if len(self.usage) == 1:
            self.usage.append(_usage())

    async def _client(self, number: int, channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(PREDICT)
        turn = self.job.first + number
        begin = self.start - self.job.warmup
        await _sleep_until(begin)
        while time.monotonic() < self.stop:
            due = None
            if self.job.interval is not None:
                due = begin + self.job.offset + self.taken * self.job.interval
                if due >= self.stop:
                    return
                self.taken += 1
                await _sleep_until(due)
            await self._request(call, self.job.messages[turn % len(self.job.messages)], due)
            turn += self.job.clients

    async def _request(self, call: Any, message: bytes, due: float | None) -> None:
        sent = time.monotonic()
        code, received = 0, 0
        try:
            answer = await call(
                message, timeout=self.job.deadline, metadata=self.job.target.metadata
            )
            received = len(answer)
        except grpc.aio.AioRpcError as error:
            code = error.code().value[0]
            self.failed += 1
            self.messages.setdefault(error.code().name, error.details() or "")
        ended = time.monotonic()
        row = (sent if due is None else due, sent, ended, code, len(message), received)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)
        if code:
            # A server that refuses at once must not be asked again in the same instant.
            await asyncio.sleep(0.001)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            answered = len(self.columns["code"]) - self.failed
            self._tell(Progress(answered, self.failed))

    async def _meter(self) -> None:
        for moment in (self.start, self.stop):
            await _sleep_until(moment)
            self.usage.append(_usage())

    def _outcome(self) -> Outcome:
        arrays = {name: np.array(self.columns[name], dtype) for name, dtype in DTYPES.items()}
        for name in ("due", "sent", "ended"):
            arrays[name] -= self.start
        (wall, cpu, thread), *rest = self.usage if len(self.usage) > 1 else [(0.0, 0.0, 0.0)]
        last = rest[-1] if rest else (1.0, 0.0, 0.0)
        return Outcome(
            samples=Samples(**arrays),
            not_sent=self._due_until_stop() - self.taken,
            messages=self.messages,
            cpu_seconds=last[1] - cpu,
            busy=(last[2] - thread) / (last[0] - wall),
        )

    def _due_until_stop(self) -> int:
        if self.job.interval is None:
            return 0
        span = self.stop - (self.start - self.job.warmup) - self.job.offset
        return max(self.taken, int(np.ceil(span / self.job.interval)))

    def _tell(self, message: Any) -> None:
        pickle.dump(message, self.out)
        self.out.flush()


def _listen(loop: asyncio.AbstractEventLoop, orders: asyncio.Queue[Start | Stop]) -> None:
    while True:
        try:
            order = pickle.load(sys.stdin.buffer)
        except EOFError:  # the parent is gone
            order = Stop(time.monotonic())
        try:
            loop.call_soon_threadsafe(orders.put_nowait, order)
        except RuntimeError:  # the loop has ended
            return
        if isinstance(order, Stop):
            return


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def _usage() -> tuple[float, float, float]:
    """Time, processor time of the process, and time that this thread ran or wanted to run."""
    busy = time.thread_time()
    schedule = Path("/proc/thread-self/schedstat")  # of Linux: nanoseconds run, and waited to run
    if schedule.exists():
        ran, waited, _ = schedule.read_text().split()
        busy = (int(ran) + int(waited)) / 1e9
    return time.monotonic(), time.process_time(), busy


if __name__ == "__main__":
    main()
