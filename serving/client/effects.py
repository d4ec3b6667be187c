"""What a flow asks of whoever runs it.

A flow is a generator that holds all rules of the client and does no waiting itself: it yields one
of these and is sent what came of it. `run_blocking.py` and `run_asyncio.py` run flows, so that
both clients follow the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from mite_tf.serving.client.questions import Question

T = TypeVar("T")
Flow = Generator[Any, Any, T]


@dataclass(frozen=True)
class Ask:
    """Asks once; the reply comes back, or a `Failure` is raised.

    Attributes:
        question: The question.
        timeout: Seconds to wait for the reply; None for no limit.
        wait: Whether to wait for a connection, instead of failing at once without one.
    """

    question: Question
    timeout: float | None
    wait: bool


@dataclass(frozen=True)
class Pause:
    """Waits a number of seconds."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """Calls a function that may take a while; its result comes back."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Pipeline:
    """Runs flows side by side; the first error ends all of them.

    Attributes:
        flows: The flows, made as they are needed.
        width: Number of flows at a time.
        on_result: Called with each result, in the order in which they come.
        slow: Whether making a flow may take a while, as reading files does.
    """

    flows: Iterator[Flow[Any]]
    width: int
    on_result: Callable[[Any], None]
    slow: bool
