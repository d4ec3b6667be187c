"""Runs flows in an event loop; those of a pipeline as tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol, TypeVar

from mite_tf.serving.client.effects import Ask, Call, Flow, Pause, Pipeline

T = TypeVar("T")


class AsyncTransport(Protocol):
    """Whoever answers an asyncio client."""

    async def ask(self, ask: Ask) -> Any:
        """Returns the reply, or raises a `Failure`."""

    async def close(self) -> None:
        """Frees connections and models."""


async def run(flow: Generator[Any, Any, T], transport: AsyncTransport) -> T:
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
            value = await _perform(effect, transport)
        except BaseException as raised:  # a flow may hold something open
            error = raised


async def _perform(effect: Any, transport: AsyncTransport) -> Any:
    if isinstance(effect, Ask):
        return await transport.ask(effect)
    if isinstance(effect, Pause):
        return await asyncio.sleep(effect.seconds)
    if isinstance(effect, Call):
        return await asyncio.to_thread(effect.function)
    assert isinstance(effect, Pipeline)
    return await _pipeline(effect, transport)


async def _pipeline(effect: Pipeline, transport: AsyncTransport) -> None:
    tasks: set[asyncio.Task[Any]] = set()
    more = True
    try:
        while more or tasks:
            while more and len(tasks) < effect.width:
                flow = await _next(effect)
                if flow is None:
                    more = False
                else:
                    tasks.add(asyncio.create_task(run(flow, transport)))
            if tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    effect.on_result(task.result())
                tasks -= done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(effect: Pipeline) -> Flow[Any] | None:
    if effect.slow:
        return await asyncio.to_thread(next, effect.flows, None)
    return next(effect.flows, None)
