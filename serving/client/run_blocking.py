"""Runs flows and waits for them; those of a pipeline in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from threading import Event, Lock
from typing import Any, Protocol, TypeVar

from mite_tf.serving.client.effects import Ask, Call, Pause, Pipeline

T = TypeVar("T")


class Stop:
    """Ends what the threads of a pipeline wait for, when one of them has failed."""

    def __init__(self) -> None:
        self._event = Event()
        self._lock = Lock()
        self._cancels: set[Callable[[], Any]] = set()

    def pause(self, seconds: float) -> None:
        """Waits, but not beyond the end."""
        self._event.wait(seconds)

    def result_of(self, call: Any) -> Any:
        """Returns the result of a call in flight, which is cancelled at the end."""
        with self._lock:
            self._cancels.add(call.cancel)
        if self._event.is_set():
            call.cancel()
        try:
            return call.result()
        finally:
            with self._lock:
                self._cancels.discard(call.cancel)

    def now(self) -> None:
        """Ends all of it."""
        self._event.set()
        with self._lock:
            cancels = list(self._cancels)
        for cancel in cancels:
            cancel()


class Transport(Protocol):
    """Whoever answers a blocking client."""

    def ask(self, ask: Ask, stop: Stop | None = None) -> Any:
        """Returns the reply.

        Args:
            ask: The question.
            stop: Through which it can be cancelled, if at all.

        Raises:
            Failure: If there is none.
        """

    def close(self) -> None:
        """Frees connections and models."""


def run(flow: Generator[Any, Any, T], transport: Transport, stop: Stop | None = None) -> T:
    """Runs a flow to its end and returns what it returns."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        value, error = None, None
        try:
            value = _perform(effect, transport, stop)
        except BaseException as raised:  # a flow may hold something open
            error = raised


def _perform(effect: Any, transport: Transport, stop: Stop | None) -> Any:
    if isinstance(effect, Ask):
        return transport.ask(effect, stop)
    if isinstance(effect, Pause):
        return stop.pause(effect.seconds) if stop else time.sleep(effect.seconds)
    if isinstance(effect, Call):
        return effect.function()
    assert isinstance(effect, Pipeline)
    return _pipeline(effect, transport)


def _pipeline(effect: Pipeline, transport: Transport) -> None:
    first = next(effect.flows, None)
    if first is None:
        return
    second = next(effect.flows, None) if effect.width > 1 else None
    if second is None:  # alone: no thread is worth its while
        for flow in chain([first], effect.flows):
            effect.on_result(run(flow, transport))
        return
    stop = Stop()
    with ThreadPoolExecutor(effect.width, "embedding") as threads:
        try:
            pending: set[Future[Any]] = set()
            for flow in chain([first, second], effect.flows):
                pending.add(threads.submit(run, flow, transport, stop))
                if len(pending) == effect.width:
                    pending = _collect(pending, effect)
            while pending:
                pending = _collect(pending, effect)
        except BaseException:
            stop.now()
            raise


def _collect(pending: set[Future[Any]], effect: Pipeline) -> set[Future[Any]]:
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        effect.on_result(future.result())
    return left
