"""One request until it is answered, refused for good, or out of time.

Embedding changes nothing on the server, so every request may be sent again. What is retried is what
may pass: no connection, an overloaded server, an attempt that took too long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from mite_tf.serving.client.errors import EmbeddingError, Failure
from mite_tf.serving.client.options import Deadline, Options
from mite_tf.serving.client.questions import Embedded, Question, Transport
from mite_tf.serving.client.rows import Chunk

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
_HINTS = {
    "NOT_FOUND": "`status()` says which models and versions are served.",
    "UNAUTHENTICATED": "Give `token`, or a client certificate in `ClientTLS`.",
    "PERMISSION_DENIED": "Is the token meant for this server?",
    "UNIMPLEMENTED": "Does another kind of server listen there? "
    "It must speak TensorFlow Serving's gRPC protocol.",
}
# Times that a refused request is sent: TensorFlow Serving refuses all requests that share a batch
# with another client's undecodable image.
_TRIES = 3


async def deliver(
    question: Question, deadline: Deadline, *, transport: Transport, options: Options
) -> Any:
    """Asks until there is a reply.

    Args:
        question: The question.
        deadline: Deadline of the whole call; each attempt has what is left.
        transport: Answers.
        options: Retries and limits.

    Returns:
        The reply.

    Raises:
        EmbeddingError: If there is no reply.

    Example:
        >>> class Busy:
        ...     async def ask(self, question, **how):
        ...         raise Failure("RESOURCE_EXHAUSTED", "queue is full")
        >>> how = {"transport": Busy(), "options": Options(retries=0)}
        >>> asyncio.run(deliver(Question(model="text"), Deadline(1), **how))
        Traceback (most recent call last):
        mite_tf.serving.client.errors.EmbeddingError: Model 'text': RESOURCE_EXHAUSTED: queue ...
    """
    failures, counted = 0, 0
    last: Failure | None = None
    while True:
        left = deadline.left()
        if left is not None and left < _TOO_LATE:
            raise _out_of_time(question, deadline, last)
        limits = [each for each in (left, options.attempt_timeout) if each is not None]
        try:
            return await transport.ask(
                question,
                timeout=min(limits, default=None),
                wait=options.wait_for_ready and failures > 0,
            )
        except Failure as failure:
            left = deadline.left()
            if failure.code == "DEADLINE_EXCEEDED" and left is not None and left < _TOO_LATE:
                raise _out_of_time(question, deadline, last or failure) from failure
            last = failure
        await _refuse_permanent(question, last, transport, options)
        if not (last.code == "UNAVAILABLE" and options.wait_for_ready):
            counted += 1
            if counted > options.retries:
                tries = f" (tried {counted} times)" if counted > 1 else ""
                raise _error(question, last, tries)
        pause = _pause(failures)
        failures += 1
        left = deadline.left()
        if left is not None and pause >= left:
            raise _out_of_time(question, deadline, last)
        await asyncio.sleep(pause)


def _pause(failures: int) -> float:
    """Returns seconds that grow exponentially, or fewer: clients come back one by one.

    Reference: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures))


async def _refuse_permanent(
    question: Question, failure: Failure, transport: Transport, options: Options
) -> None:
    message = None
    if _TOO_LARGE in failure.details:
        message = (
            f"{question}: a message is larger than the other side takes: "
            f"{failure.details}. Give a smaller max_message_bytes (now "
            f"{options.max_message_bytes}) or rows_per_request (now {options.rows_per_request})."
        )
    elif failure.code == "UNAVAILABLE":
        message = await asyncio.to_thread(transport.explain, failure.details)
        if not message and any(sign in failure.details.lower() for sign in _TLS):
            message = f"No TLS connection: {failure.details}"
    if message:
        raise EmbeddingError(message, code=failure.code, server_message=failure.details)
    if failure.code not in _MAY_PASS:
        raise _error(question, failure)


def _error(question: Question, failure: Failure, tries: str = "") -> EmbeddingError:
    hint = _HINTS.get(failure.code)
    return EmbeddingError(
        f"{question}: {failure.code}{tries}: {failure.details or 'no message'}"
        + (f" {hint}" if hint else ""),
        code=failure.code,
        server_message=failure.details,
    )


def _out_of_time(question: Question, deadline: Deadline, last: Failure | None) -> EmbeddingError:
    said = f" The last attempt failed with {last.code}: {last.details}" if last else ""
    return EmbeddingError(
        f"{question}: no answer within {deadline.timeout:g} s.{said}",
        code="DEADLINE_EXCEEDED",
        server_message=last.details if last else "",
    )


async def embed_chunk(chunk: Chunk, ask: Callable[[Chunk], Awaitable[Embedded]]) -> Embedded:
    """Embeds the rows of one request; if they are refused again and again, finds out which row.

    Args:
        chunk: The rows.
        ask: Sends rows as one request, as `deliver` does.

    Raises:
        EmbeddingError: If the request fails for good.

    Example:
        >>> from mite_tf.serving.client.rows import text_rows
        >>> async def ask(part):
        ...     if b"bad" in part.values:
        ...         raise EmbeddingError("refused", code="INVALID_ARGUMENT")
        >>> asyncio.run(embed_chunk(Chunk(0, list(text_rows(["a", "bad", "c"]))), ask))
        Traceback (most recent call last):
        mite_tf.serving.client.errors.EmbeddingError: texts[1]: refused
    """
    for _ in range(_TRIES):
        try:
            return await ask(chunk)
        except EmbeddingError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            refusal = error
    raise await _named(chunk, refusal, ask) from refusal


async def _named(
    chunk: Chunk, error: EmbeddingError, ask: Callable[[Chunk], Awaitable[Embedded]]
) -> EmbeddingError:
    """Halves a refused request until one row is left: servers do not say which it was."""
    suspects, taken = chunk, len(chunk.rows) == 1
    while len(suspects.rows) > 1:
        middle = len(suspects.rows) // 2
        for part in (suspects.part(0, middle), suspects.part(middle, len(suspects.rows))):
            refusal = await _refusal(part, ask)
            if refusal:
                suspects, error = part, refusal
                break
            taken = True
        else:
            return error.retold(
                f"{error} Each half of these rows is taken: give a smaller rows_per_request."
            )
    # A name or a version that is wrong is refused with every row, and no row is to blame for it.
    for number in (1, len(chunk.rows) - 1):
        if not taken:
            taken = await _refusal(chunk.part(number, number + 1), ask) is None
    label = suspects.rows[0].label
    return error.retold(
        f"{label}: {error}" if taken else f"{error} Other rows than {label} are refused, too."
    )


async def _refusal(
    part: Chunk, ask: Callable[[Chunk], Awaitable[Embedded]]
) -> EmbeddingError | None:
    try:
        await ask(part)
    except EmbeddingError as error:
        if error.code != "INVALID_ARGUMENT":
            raise
        return error
    return None
