"""One request until it is answered, refused for good, or out of time.

Embedding changes nothing on the server, so that every request may be sent again. What is retried
is what may pass: no connection, an overloaded server, an attempt that took too long.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from mite_tf.serving.client.deadline import Deadline
from mite_tf.serving.client.effects import Ask, Call, Flow, Pause
from mite_tf.serving.client.errors import EmbeddingError, Failure
from mite_tf.serving.client.options import Options
from mite_tf.serving.client.questions import Predict, Question
from mite_tf.serving.client.replies import Reply

# Pauses grow from the first to the second, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# gRPC's clock and ours differ by less; nothing is asked with less time, in seconds.
_TOO_LATE = 0.005
# With UNAVAILABLE these may pass: an overloaded server, a call that lost a race or its server.
_MAY_PASS = {"RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"}
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

Explain = Callable[[str], str | None]


def deliver(question: Question, deadline: Deadline, options: Options, explain: Explain) -> Flow:
    """Asks until there is a reply.

    Args:
        question: The question.
        deadline: Deadline of the whole call; each attempt has what is left.
        options: Retries and limits.
        explain: Looks for a cause, from what gRPC says of a connection; None if there is none.

    Raises:
        EmbeddingError: If there is no reply.
    """
    failures, counted = 0, 0
    last: Failure | None = None
    while True:
        left = deadline.left()
        if left is not None and left < _TOO_LATE:
            raise _out_of_time(question, deadline, last)
        timeout = min(
            (each for each in (left, options.attempt_timeout) if each is not None), default=None
        )
        try:
            reply: Reply = yield Ask(question, timeout, options.wait_for_ready and failures > 0)
            return reply
        except Failure as failure:
            left = deadline.left()
            if failure.code == "DEADLINE_EXCEEDED" and left is not None and left < _TOO_LATE:
                raise _out_of_time(question, deadline, last or failure) from failure
            last = failure
        yield from _refuse_permanent(question, last, options, explain)
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
        yield Pause(pause)


def _pause(failures: int) -> float:
    """Exponential, and anywhere below: clients that failed together do not come back together.

    Reference: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures))


def _refuse_permanent(
    question: Question, failure: Failure, options: Options, explain: Explain
) -> Flow[None]:
    if _TOO_LARGE in failure.details:
        raise EmbeddingError(
            f"{_subject(question)}: a message is larger than the other side takes: "
            f"{failure.details}. Give a smaller max_message_bytes (now "
            f"{options.max_message_bytes}) or rows_per_request (now {options.rows_per_request}).",
            code=failure.code,
            server_message=failure.details,
        )
    if failure.code == "UNAVAILABLE":
        cause = yield Call(partial(explain, failure.details))
        if cause or any(sign in failure.details.lower() for sign in _TLS):
            raise EmbeddingError(
                cause or f"No TLS connection: {failure.details}",
                code=failure.code,
                server_message=failure.details,
            )
    elif failure.code not in _MAY_PASS:
        raise _error(question, failure)


def _error(question: Question, failure: Failure, tries: str = "") -> EmbeddingError:
    hint = _HINTS.get(failure.code)
    return EmbeddingError(
        f"{_subject(question)}: {failure.code}{tries}: {failure.details or 'no message'}"
        + (f" {hint}" if hint else ""),
        code=failure.code,
        server_message=failure.details,
    )


def _out_of_time(question: Question, deadline: Deadline, last: Failure | None) -> EmbeddingError:
    said = f" The last attempt failed with {last.code}: {last.details}" if last else ""
    return EmbeddingError(
        f"{_subject(question)}: no answer within {deadline.timeout:g} s.{said}",
        code="DEADLINE_EXCEEDED",
        server_message=last.details if last else "",
    )


def _subject(question: Question) -> str:
    version = getattr(question, "version", None)
    pinned = f", {version}" if version and (version.number or version.label) else ""
    rows = f", {len(question.rows)} rows" if isinstance(question, Predict) else ""
    return f"Model {question.model!r}{pinned}{rows}"
