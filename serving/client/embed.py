"""A whole call: rows to requests, replies to one array, all of one version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from mite_tf.serving.client.chunks import Chunk, chunked
from mite_tf.serving.client.deadline import Deadline
from mite_tf.serving.client.effects import Flow, Pipeline
from mite_tf.serving.client.errors import EmbeddingError, MixedVersionsError
from mite_tf.serving.client.options import Options
from mite_tf.serving.client.questions import Metadata, Predict, Question
from mite_tf.serving.client.replies import Embedded, Reply
from mite_tf.serving.client.rows import Row

# Times that a refused request is sent: TensorFlow Serving refuses all requests that share a batch
# with another client's undecodable image.
_TRIES = 3


class Deliver(Protocol):
    """Asks until there is a reply, as `retry.deliver` does."""

    def __call__(self, question: Question, deadline: Deadline) -> Flow[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one call embeds.

    Attributes:
        model: Name of the model.
        rows: Makes the rows, from the first on; called again if all is embedded again.
        count: Number of rows.
        slow: Whether making a row may take a while.
        timeout: Seconds for all of it; None for no limit.
        on_progress: Called with the number of rows done and of all.
    """

    model: str
    rows: Callable[[], Iterator[Row]]
    count: int
    slow: bool
    timeout: float | None
    on_progress: Callable[[int, int], None] | None = None


class _Switched(Exception):
    """Another version answers than before."""

    def __init__(self, before: int | None, now: int | None) -> None:
        super().__init__(before, now)
        self.before, self.now = before, now


def embed(job: Job, deliver: Deliver, options: Options) -> Flow[Embedded]:
    """Embeds all rows by one version; once more from the start if it changes in the middle.

    Raises:
        EmbeddingError: If a request fails for good.
        MixedVersionsError: If the version changed again.
    """
    deadline = Deadline(job.timeout)
    if not job.count:
        return (yield from _nothing(job, deliver, options, deadline))
    try:
        return (yield from _once(job, deliver, options, deadline))
    except _Switched:
        pass
    try:
        return (yield from _once(job, deliver, options, deadline))
    except _Switched as switch:
        raise MixedVersionsError(
            f"Model {job.model!r} answered as version {switch.before} and as version {switch.now} "
            "within one call, twice. Do several servers of different versions stand behind this "
            "address? Ask for one with version=, or try again when all serve the same."
        ) from None


def _nothing(job: Job, deliver: Deliver, options: Options, deadline: Deadline) -> Flow[Embedded]:
    described = yield from deliver(Metadata(model=job.model, version=options.version), deadline)
    for signature in described.signatures.values():
        output = signature.outputs.get("embedding")
        if output and output.shape and output.shape[-1] > 0:
            return Embedded(np.empty((0, output.shape[-1]), np.float32), None)
    raise EmbeddingError(
        f"Model {job.model!r}: its metadata give no size of an output `embedding`. "
        "Was it exported by `mite export`?"
    )


def _once(job: Job, deliver: Deliver, options: Options, deadline: Deadline) -> Flow[Embedded]:
    result = _Result(job, options.version.number)
    ask = partial(_ask, job, deliver, options, deadline)
    chunks = chunked(
        job.rows(), most=options.rows_per_request, most_bytes=options.max_message_bytes
    )
    flows = (_embed_chunk(chunk, ask) for chunk in chunks)
    try:
        yield Pipeline(flows, options.in_flight, result.add, job.slow)
    except EmbeddingError as error:
        if error.code != "DEADLINE_EXCEEDED" or not result.done:
            raise
        told = f"{error} By then {result.done} of {job.count} rows were done."
        raise _retold(error, told) from error
    assert result.values is not None
    return Embedded(result.values, result.version)


class _Result:
    """Embeddings as they come, in order of the rows."""

    def __init__(self, job: Job, pinned: int | None) -> None:
        self._job = job
        self._pinned = pinned
        self.values: np.ndarray | None = None
        self.version: int | None = None
        self.done = 0

    def add(self, answer: tuple[Chunk, Embedded]) -> None:
        chunk, reply = answer
        expected = reply.version if self.values is None else self.version
        if self._pinned is not None:
            expected = self._pinned
        if reply.version != expected:
            raise _Switched(expected, reply.version)
        rows, size = len(chunk.rows), reply.values.shape[-1]
        if self.values is None:
            self.values = np.empty((self._job.count, size), np.float32)
            self.version = reply.version
        if reply.values.shape != (rows, self.values.shape[1]):
            raise EmbeddingError(
                f"Model {self._job.model!r} answered {rows} rows with an embedding of shape "
                f"{list(reply.values.shape)}; expected [{rows}, {self.values.shape[1]}]."
            )
        self.values[chunk.start : chunk.start + rows] = reply.values
        self.done += rows
        if self._job.on_progress:
            self._job.on_progress(self.done, self._job.count)


def _ask(
    job: Job, deliver: Deliver, options: Options, deadline: Deadline, chunk: Chunk
) -> Flow[Reply]:
    kind = chunk.rows[0].kind
    question = Predict(
        model=job.model,
        version=options.version,
        signature=kind.signature,
        input=kind.input,
        rows=chunk.values,
    )
    return deliver(question, deadline)


def _embed_chunk(
    chunk: Chunk, ask: Callable[[Chunk], Flow[Embedded]]
) -> Flow[tuple[Chunk, Embedded]]:
    for _ in range(_TRIES):
        try:
            reply = yield from ask(chunk)
            return chunk, reply
        except EmbeddingError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            refusal = error
    raise (yield from _named(chunk, refusal, ask)) from refusal


def _named(
    chunk: Chunk, error: EmbeddingError, ask: Callable[[Chunk], Flow[Embedded]]
) -> Flow[EmbeddingError]:
    """Halves a refused request until one row is left: servers do not say which it was."""
    suspects, taken = chunk, len(chunk.rows) == 1
    while len(suspects.rows) > 1:
        middle = len(suspects.rows) // 2
        for part in (suspects.part(0, middle), suspects.part(middle, len(suspects.rows))):
            refusal = yield from _refusal(part, ask)
            if refusal:
                suspects, error = part, refusal
                break
            taken = True
        else:
            return _retold(
                error,
                f"{error} Each half of these rows is taken: give a smaller rows_per_request.",
            )
    # A name or a version that is wrong is refused with every row, and no row is to blame for it.
    for number in (1, len(chunk.rows) - 1):
        if not taken:
            taken = (yield from _refusal(chunk.part(number, number + 1), ask)) is None
    label = suspects.rows[0].label
    return _retold(
        error,
        f"{label}: {error}" if taken else f"{error} Other rows than {label} are refused, too.",
    )


def _refusal(part: Chunk, ask: Callable[[Chunk], Flow[Embedded]]) -> Flow[EmbeddingError | None]:
    try:
        yield from ask(part)
    except EmbeddingError as error:
        if error.code != "INVALID_ARGUMENT":
            raise
        return error
    return None


def _retold(error: EmbeddingError, message: str) -> EmbeddingError:
    return EmbeddingError(message, code=error.code, server_message=error.server_message)
