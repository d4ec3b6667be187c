"""A whole call: rows to requests side by side, replies to one array, all of one version.

Embedding changes nothing on the server, so every request may be sent again. What is retried is what
may pass: no connection, an overloaded server, an attempt that took too long.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.protocol import (
    SILENCE,
    Embedded,
    EmbeddingError,
    Failure,
    MixedVersionsError,
    PredictQuestion,
    StatusQuestion,
    tell_waiting,
)
from mite_tf.serving.client.rows import Chunk, Row, chunked, embed_chunk

MixedVersions = Literal["refuse", "warn", "allow"]
# `max_batch_size` of the batching file in an export; a server refuses a larger request.
ROWS_PER_REQUEST = 32
# What a gRPC server takes if nobody configured it, https://grpc.io/docs/guides/, 4 MiB.
MAX_MESSAGE_BYTES = 4 << 20
# Pauses grow from the first to the second, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# gRPC's clock and ours differ by less; nothing is asked with less time, in seconds.
_TOO_LATE = 0.005
# With UNAVAILABLE these may pass: an overloaded server, a call that lost a race or its server.
_MAY_PASS = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"}
# Said by gRPC on either side; sending the same message again cannot help.
_TOO_LARGE = "larger than max"
# Said by gRPC where the two sides do not agree on certificates.
_TLS = ("handshake failed", "verification check failed", "create security handshaker")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a client asks; the arguments of `EmbeddingClient` of the same names.

    Example:
        >>> Options(in_flight=0)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: in_flight is 0; give at least 1.
    """

    timeout: float | None = 60.0
    attempt_timeout: float | None = None
    retries: int = 5
    wait_for_ready: bool = True
    rows_per_request: int = ROWS_PER_REQUEST
    max_message_bytes: int = MAX_MESSAGE_BYTES
    in_flight: int = 4
    version: int | None = None
    version_label: str | None = None
    mixed_versions: MixedVersions = "refuse"
    image_model: str = "image"
    text_model: str = "text"

    def __post_init__(self) -> None:
        least = {"retries": 0, "rows_per_request": 1, "in_flight": 1, "max_message_bytes": 1024}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise MiteError(f"{name} is {getattr(self, name)}; give at least {value}.")
        for name in ("timeout", "attempt_timeout"):
            check_seconds(name, getattr(self, name))
        if self.version is not None and self.version_label is not None:
            raise MiteError("Give version or version_label, not both.")
        if self.mixed_versions not in get_args(MixedVersions):
            raise MiteError(
                f"mixed_versions is {self.mixed_versions!r}; "
                f"give one of {', '.join(get_args(MixedVersions))}."
            )
        if self.image_model == self.text_model:
            raise MiteError(f"Both models are named {self.text_model!r}; their names must differ.")


def check_seconds(name: str, seconds: float | None) -> None:
    """Refuses a time that is not above 0.

    Example:
        >>> check_seconds("timeout", 0)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: timeout is 0; give seconds above 0, or None for no limit.
    """
    if seconds is not None and not seconds > 0:
        raise MiteError(f"{name} is {seconds}; give seconds above 0, or None for no limit.")


class Deadline:
    """The end of a call, so many seconds from now; None for no limit.

    Example:
        >>> Deadline(None).left(), 9 < Deadline(10).left() <= 10
        (inf, True)
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = math.inf if timeout is None else timeout
        self._end = time.monotonic() + self.timeout
        self.failure: Failure | None = None  # the last attempt that failed
        self._told = False

    def left(self) -> float:
        """Returns the seconds left, 0 or less when time is up."""
        return self._end - time.monotonic()

    def tell(self, transport: Transport) -> None:
        """Tells, once for a whole call, that a server is waited for."""
        if transport.place and not self._told:
            self._told = True
            tell_waiting(transport.place, self.timeout, self.failure)


# no example: an interface, of `Channel` and `Local`
class Transport(Protocol):
    """What answers questions: a server, whose address is `place`, or an export folder."""

    place: str | None

    async def ask(self, question: StatusQuestion, *, timeout: float, wait: bool) -> Any:
        """Returns the reply to one attempt, which may `wait` to connect, or raises `Failure`."""

    def explain(self, details: str) -> str | None:
        """Returns why a connection failed, if that is certain; `details` is what gRPC said."""

    def close(self) -> None:
        """Frees connections and models."""


@dataclass(kw_only=True)
class EmbedCall:
    """Embeds rows by one version; once more from the start if it changes in the middle.

    `rows` makes the rows from the first on, `count` is their number, at least one, and `slow` says
    that making one may take a while, as reading a file does. `report` is called with the number of
    rows done and of all.

    Example:
        >>> from mite_tf.serving.client.rows import text_rows
        >>> class Server:
        ...     async def ask(self, question, **how):
        ...         return Embedded(np.full((len(question.rows), 1), 7, np.float32), version=1)
        >>> call = EmbedCall(model="text", rows=lambda: text_rows(["a", "b"]), count=2,
        ...     deadline=Deadline(None), transport=Server(), options=Options(rows_per_request=1))
        >>> asyncio.run(call.run()).values.tolist()
        [[7.0], [7.0]]
    """

    model: str
    rows: Callable[[], Iterator[Row]]
    count: int
    deadline: Deadline
    transport: Transport
    options: Options
    slow: bool = False
    report: Callable[[int, int], None] | None = None

    async def run(self) -> Embedded:
        """Returns the embeddings in the order of the rows.

        Raises:
            EmbeddingError: If a request fails for good.
            MixedVersionsError: If the version changed again.
        """
        with suppress(MixedVersionsError):
            return await self._run_once()
        return await self._run_once()

    async def _run_once(self) -> Embedded:
        self._values: np.ndarray | None = None
        self._version = self.options.version
        self._taken = self._done = 0
        self._reading = asyncio.Lock()  # a generator makes one chunk at a time
        self._chunks = chunked(
            self.rows(),
            most=self.options.rows_per_request,
            most_bytes=self.options.max_message_bytes,
        )
        try:
            await _side_by_side(self._work, min(self.options.in_flight, self.count))
        except EmbeddingError as error:
            if error.code != "DEADLINE_EXCEEDED" or not self._done:
                raise
            told = f"{error} By then {self._done} of {self.count} rows were done."
            raise error.retold(told) from error
        assert self._values is not None
        return Embedded(self._values, self._version)

    async def _work(self) -> None:
        while chunk := await self._next_chunk():
            self._add(chunk, await embed_chunk(chunk, self._predict))

    async def _next_chunk(self) -> Chunk | None:
        async with self._reading:
            if self._taken == self.count:
                return None
            chunks = self._chunks
            chunk = await asyncio.to_thread(next, chunks) if self.slow else next(chunks)
            self._taken += len(chunk.rows)
            return chunk

    async def _predict(self, chunk: Chunk) -> Embedded:
        kind = chunk.rows[0].kind
        question = PredictQuestion(
            model=self.model,
            version=self.options.version,
            label=self.options.version_label,
            signature=kind.signature,
            input=kind.input,
            rows=chunk.values,
        )
        reply: Embedded = await deliver(question, self.deadline, self.transport, self.options)
        return reply

    def _add(self, chunk: Chunk, reply: Embedded) -> None:
        if self._values is None and self.options.version is None:
            self._version = reply.version
        if reply.version != self._version:
            raise MixedVersionsError(
                f"Model {self.model!r} answered as version {self._version} and as version "
                f"{reply.version} within one call, twice. Do several servers of different versions "
                "stand behind this address? Ask for one with version=, or try again when all "
                "serve the same.",
                code="FAILED_PRECONDITION",
            )
        if self._values is None:
            self._values = np.empty((self.count, reply.values.shape[-1]), np.float32)
        expected = (len(chunk.rows), self._values.shape[1])
        if reply.values.shape != expected:
            raise EmbeddingError(
                f"Model {self.model!r} answered {len(chunk.rows)} rows with an embedding of shape "
                f"{list(reply.values.shape)}; expected {list(expected)}."
            )
        self._values[chunk.start : chunk.start + len(chunk.rows)] = reply.values
        self._done += len(chunk.rows)
        if self.report:
            self.report(self._done, self.count)


async def _side_by_side(work: Callable[[], Awaitable[None]], width: int) -> None:
    """Runs `width` workers; the first error ends all of them."""
    if width == 1:
        return await work()
    workers = [asyncio.ensure_future(work()) for _ in range(width)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def deliver(
    question: StatusQuestion, deadline: Deadline, transport: Transport, options: Options
) -> Any:
    """Asks until there is a reply; each attempt has what is left of the time.

    Raises:
        EmbeddingError: If there is no reply.

    Example:
        >>> class Busy:
        ...     async def ask(self, question, **how):
        ...         raise Failure("RESOURCE_EXHAUSTED", "queue is full")
        >>> asyncio.run(
        ...     deliver(StatusQuestion(model="text"), Deadline(1), Busy(), Options(retries=0)))
        Traceback (most recent call last):
        mite_tf.serving.client.protocol.EmbeddingError: Model 'text': RESOURCE_EXHAUSTED: ...
    """
    failures, counted, pause = 0, 0, 0.0
    last: Failure | None = None
    silence = asyncio.get_running_loop().call_later(SILENCE, deadline.tell, transport)
    try:
        while deadline.left() > max(pause, _TOO_LATE):
            if pause:
                await asyncio.sleep(pause)
            timeout = min(deadline.left(), options.attempt_timeout or math.inf)
            try:
                wait = options.wait_for_ready and failures > 0
                return await transport.ask(question, timeout=timeout, wait=wait)
            except Failure as failure:
                if failure.code == "DEADLINE_EXCEEDED" and deadline.left() < _TOO_LATE:
                    last = last or failure  # what failed before says more
                    break
                last = deadline.failure = failure
            cause = await _certain_cause(question, last, transport, options)
            passes = not cause and last.code in _MAY_PASS
            if passes and not (last.code == "UNAVAILABLE" and options.wait_for_ready):
                counted += 1
            if not passes or counted > options.retries:
                tries = f" (tried {counted} times)" if counted > max(options.retries, 1) else ""
                message = cause or f"{question}: {last.told(tries)}"
                raise EmbeddingError(message, code=last.code, server_message=last.details)
            pause = _pause(failures)
            failures += 1
    finally:
        silence.cancel()
    said = f" The last attempt failed with {last.told()}" if last else ""
    raise EmbeddingError(
        f"{question}: no answer within {deadline.timeout:g} s.{said}",
        code="DEADLINE_EXCEEDED",
        server_message=last.details if last else "",
    )


def _pause(failures: int) -> float:
    """Returns seconds that grow exponentially, or fewer: clients come back one by one.

    Reference: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures))


async def _certain_cause(
    question: StatusQuestion, failure: Failure, transport: Transport, options: Options
) -> str | None:
    """Returns why sending the same again cannot help."""
    if _TOO_LARGE in failure.details:
        return (
            f"{question}: a message is larger than the other side takes: "
            f"{failure.details}. Give a smaller max_message_bytes (now "
            f"{options.max_message_bytes}) or rows_per_request (now {options.rows_per_request})."
        )
    if failure.code != "UNAVAILABLE":
        return None
    cause = await asyncio.to_thread(transport.explain, failure.details)
    if not cause and any(sign in failure.details.lower() for sign in _TLS):
        return f"No TLS connection: {failure.details}"
    return cause
