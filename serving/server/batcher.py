"""Requests that came while the model was busy share its next call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from grpc import StatusCode

from mite_tf.serving.backends.backend import Rows, together
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.options import Batching
from mite_tf.serving.server.outcomes import Refusal

# Seconds without a new request, after which no more is expected soon: gRPC hands over one at a
# time, each some 100 µs after the one before.
_QUIET = 500e-6
# As many requests as the largest of the last few calls had are expected to come again. One call in
# so many waits although they are there, to see whether there are more now.
_RECENT, _LOOK = 4, 128


class _Waiting(NamedTuple):
    rows: Rows
    answer: asyncio.Future[np.ndarray]
    since: float
    alone: bool = False  # it was in a call that failed


# no example: it lives on the event loop of a server; see `start_server`.
class Batcher:
    """The queue in front of one version of one model; lives on the event loop.

    A call starts as soon as a thread is free, with whatever waits by then. It waits for more only
    while as many requests as in the calls before are expected, for half a millisecond after the
    last one, or for as long as the timeout of the parameters. A request whose caller has gone is
    left out. The requests of a call that fails run once more, each in a call of its own, so that
    one cannot fail others. Calls of at most `light_rows` run on the event loop, the others in
    `threads`.
    """

    def __init__(
        self,
        *,
        model: str,
        run: Callable[[Rows], np.ndarray],
        batching: Batching,
        threads: Executor,
        light_rows: int,
        metrics: Metrics,
    ) -> None:
        self._run = run
        self._batching = batching
        self._threads = threads
        self._light_rows = light_rows
        self._queued = metrics.queue_length.labels(model)
        self._waited = metrics.waiting_time.labels(model)
        self._rows = metrics.batch_size.labels(model)
        self._took = metrics.run_time.labels(model, "Predict", "mite")
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._running = 0
        self._pumping = False
        self._calls = 0
        self._sizes = deque([1], _RECENT)
        self._timer: asyncio.TimerHandle | None = None

    def put(self, rows: Rows) -> asyncio.Future[np.ndarray]:
        """Queues rows; the future gives float32 `[N, D]`."""
        answer: asyncio.Future[np.ndarray] = self._loop.create_future()
        self._queue.append(_Waiting(rows, answer, time.perf_counter()))
        self._queued.set(len(self._queue))
        # While more are waited for, only the last of them changes anything.
        if self._timer is None or self._as_many_as_before() or self._is_full():
            # Soon, not now: requests that were read from the network together start together.
            self._pump_soon()
        return answer

    def leave_out(self) -> None:
        """Frees the rows of callers who have gone, however long the model takes for others."""
        self._queue = deque(each for each in self._queue if not each.answer.done())
        self._queued.set(len(self._queue))

    def _pump_soon(self) -> None:
        if not self._pumping and self._running < self._batching.num_batch_threads:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while self._running < self._batching.num_batch_threads:
            seconds = self._seconds_to_wait()
            if seconds > 0:
                if self._timer is None:
                    self._timer = self._loop.call_later(seconds, self._timed)
                return
            batch = self._next_batch()
            if not batch:
                return
            self._running += 1
            if sum(len(each.rows) for each in batch) <= self._light_rows:
                self._answer(batch, *self._call(batch))
                return  # other events first; `_answer` has asked to come back
            self._threads.submit(self._work, batch)

    def _timed(self) -> None:
        self._timer = None
        self._pump_soon()

    def _seconds_to_wait(self) -> float:
        """Returns how long the next call is to wait for more requests; 0 or less for not at all."""
        while self._queue and self._queue[0].answer.done():
            self._queue.popleft()
        if not self._queue or self._is_full():
            return 0
        now = time.perf_counter()
        wait = 0.0
        if self._batching.batch_timeout_micros:
            wait = self._queue[0].since + self._batching.batch_timeout_micros / 1e6 - now
        # Clients that were answered together ask again together: a call without the rest of them
        # would waste most of its time.
        if self._batching.gather and not (self._as_many_as_before() and self._calls % _LOOK):
            wait = max(wait, self._queue[-1].since + _QUIET - now)
        return wait

    def _as_many_as_before(self) -> bool:
        return len(self._queue) >= max(self._sizes)

    def _is_full(self) -> bool:
        most = self._batching.rows_of_a_call
        return len(self._queue) >= most or sum(len(each.rows) for each in self._queue) >= most

    def _next_batch(self) -> list[_Waiting]:
        """Takes the oldest request and those after it that may share its call."""
        batch: list[_Waiting] = []
        left, size = [], 0
        while self._queue:
            each = self._queue.popleft()
            if each.answer.done():  # its caller has gone
                continue
            if not batch:
                batch, size = [each], len(each.rows)
                if each.alone or not self._batching.gather:
                    break
            elif each.rows.key != batch[0].rows.key:
                left.append(each)
            elif size + len(each.rows) <= self._batching.rows_of_a_call:
                batch.append(each)
                size += len(each.rows)
            else:
                left.append(each)
                break
        self._queue.extendleft(reversed(left))
        if batch:
            self._calls += 1
            self._sizes.append(len(batch))
        return batch

    def _work(self, batch: list[_Waiting]) -> None:
        """Computes a batch in a thread."""
        done = self._call(batch)
        with suppress(RuntimeError):  # the loop is closed: no request is left
            self._loop.call_soon_threadsafe(self._answer, batch, *done)

    def _call(self, batch: list[_Waiting]) -> tuple[np.ndarray | str, float, float]:
        """Computes a batch; gives embeddings or why there are none, the start and the seconds."""
        start = time.perf_counter()
        result: np.ndarray | str
        try:
            result = self._embed(together([each.rows for each in batch]))
        except Exception as error:
            # The error itself would lead to this variable, and keep the rows of the batch.
            result = f"The model failed: {error}"
        return result, start, time.perf_counter() - start

    def _embed(self, rows: Rows) -> np.ndarray:
        most = self._batching.rows_of_a_call
        if len(rows) <= most:
            return self._run(rows)
        parts = [rows.values[first : first + most] for first in range(0, len(rows), most)]
        return np.concatenate([self._run(Rows(rows.key, part)) for part in parts])

    def _answer(
        self, batch: list[_Waiting], result: np.ndarray | str, start: float, seconds: float
    ) -> None:
        self._running -= 1
        self._pump_soon()
        if isinstance(result, str) and len(batch) > 1:
            self._queue.extendleft(each._replace(alone=True) for each in reversed(batch))
            return
        first = 0
        for each in batch:
            last = first + len(each.rows)
            if not each.answer.done():
                if isinstance(result, str):
                    each.answer.set_exception(Refusal(StatusCode.INTERNAL, result))
                else:
                    each.answer.set_result(result[first:last])
            first = last
            self._waited.observe(1e6 * (start - each.since))
        self._rows.observe(first)
        self._took.observe(1e6 * seconds)
        self._queued.set(len(self._queue))
