"""A whole call: rows to requests side by side, replies to one array, all of one version."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mite_tf.serving.client.delivery import embed_chunk
from mite_tf.serving.client.errors import EmbeddingError, MixedVersionsError
from mite_tf.serving.client.options import Deadline, Options
from mite_tf.serving.client.questions import Embedded
from mite_tf.serving.client.rows import Chunk, Row, chunked


# no example: that of `embed_job` makes one
@dataclass(frozen=True, kw_only=True)
class Job:
    """What one call embeds.

    Attributes:
        model: Name of the model.
        rows: Makes the rows, from the first on; called again if all is embedded again.
        count: Number of rows.
        deadline: When all of it must be done.
        slow: Whether making a row may take a while, as reading a file does.
    """

    model: str
    rows: Callable[[], Iterator[Row]]
    count: int
    deadline: Deadline
    slow: bool = False


class _Switched(Exception):
    """Another version answers than before."""

    def __init__(self, before: int | None, now: int | None) -> None:
        super().__init__(before, now)
        self.before, self.now = before, now


async def embed_job(
    job: Job,
    ask: Callable[[Chunk], Awaitable[Embedded]],
    *,
    options: Options,
    report: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Embeds all rows by one version; once more from the start if it changes in the middle.

    Args:
        job: One row at least.
        ask: Sends rows as one request, as `deliver` does.
        options: Limits of a request, and requests at a time.
        report: Called with the number of rows done and of all.

    Returns:
        The embeddings in the order of the rows.

    Raises:
        EmbeddingError: If a request fails for good.
        MixedVersionsError: If the version changed again.

    Example:
        >>> from functools import partial
        >>> from mite_tf.serving.client.rows import text_rows
        >>> async def ask(chunk):
        ...     return Embedded(np.full((len(chunk.rows), 1), chunk.start, np.float32), version=1)
        >>> job = Job(model="text", rows=partial(text_rows, ["a", "b", "c"]), count=3,
        ...           deadline=Deadline(None))
        >>> asyncio.run(embed_job(job, ask, options=Options(rows_per_request=2))).values.tolist()
        [[0.0], [0.0], [2.0]]
    """
    try:
        return await _embed_once(job, ask, options, report)
    except _Switched:
        pass
    try:
        return await _embed_once(job, ask, options, report)
    except _Switched as switch:
        raise MixedVersionsError(
            f"Model {job.model!r} answered as version {switch.before} and as version {switch.now} "
            "within one call, twice. Do several servers of different versions stand behind this "
            "address? Ask for one with version=, or try again when all serve the same."
        ) from None


async def _embed_once(
    job: Job,
    ask: Callable[[Chunk], Awaitable[Embedded]],
    options: Options,
    report: Callable[[int, int], None] | None,
) -> Embedded:
    chunks = chunked(
        job.rows(), most=options.rows_per_request, most_bytes=options.max_message_bytes
    )
    reading, taken = asyncio.Lock(), 0
    result = _Result(job, options.version, report)

    async def next_chunk() -> Chunk | None:
        nonlocal taken
        async with reading:  # a generator makes one chunk at a time
            if taken == job.count:
                return None
            chunk = await asyncio.to_thread(next, chunks) if job.slow else next(chunks)
            taken += len(chunk.rows)
            return chunk

    async def work() -> None:
        while chunk := await next_chunk():
            result.add(chunk, await embed_chunk(chunk, ask))

    try:
        await _side_by_side(work, min(options.in_flight, job.count))
    except EmbeddingError as error:
        if error.code != "DEADLINE_EXCEEDED" or not result.done:
            raise
        told = f"{error} By then {result.done} of {job.count} rows were done."
        raise error.retold(told) from error
    assert result.values is not None
    return Embedded(result.values, result.version)


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


class _Result:
    """Embeddings as they come, in order of the rows."""

    def __init__(
        self, job: Job, pinned: int | None, report: Callable[[int, int], None] | None
    ) -> None:
        self._job = job
        self._pinned = pinned
        self._report = report
        self.values: np.ndarray | None = None
        self.version: int | None = None
        self.done = 0

    def add(self, chunk: Chunk, reply: Embedded) -> None:
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
        if self._report:
            self._report(self.done, self._job.count)
