"""One version of one model that takes requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np
from grpc import StatusCode

from mite_tf.serving.backends import Backend
from mite_tf.serving.server.batcher import Batcher
from mite_tf.serving.server.batching import Batching
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.status import Refusal


class Version:
    """A backend with its queue; it counts who uses it, to know when it can be freed.

    Args:
        backend: The loaded encoder.
        batching: How requests share calls.
        decoders: Threads that prepare inputs.
        threads: Threads that run the model.
        light_rows: Calls of at most so many rows run on the event loop.
        metrics: Counts batches.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        batching: Batching,
        decoders: Executor,
        threads: Executor,
        light_rows: int,
        metrics: Metrics,
    ) -> None:
        self.backend = backend
        self.name = backend.name
        self.number = backend.version
        self._batching = batching
        self._decoders = decoders
        self._batcher = Batcher(
            model=backend.name,
            run=backend.run,
            batching=batching,
            threads=threads,
            light_rows=light_rows,
            metrics=metrics,
        )
        self._rows = 0
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keeps the version from being freed."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def drained(self) -> None:
        """Returns when nobody uses the version; new users must have been kept away."""
        while self._users:
            self._idle.clear()
            await self._idle.wait()

    async def embed(self, signature: str, array: np.ndarray) -> np.ndarray:
        """Embeds the input of one request.

        Args:
            signature: Name of a signature.
            array: Its input; strings are `bytes` with dtype `object`.

        Returns:
            float32 `[N, D]`.

        Raises:
            MiteError: If the input cannot be used, too much waits already, or the model fails.
        """
        rows = len(array) if array.ndim else 0
        self._admit(rows)
        self._rows += rows
        try:
            if self.backend.is_light(signature, array):
                prepared = self.backend.prepare(signature, array)
            else:
                prepared = await asyncio.get_running_loop().run_in_executor(
                    self._decoders, self.backend.prepare, signature, array
                )
            return await self._batcher.put(prepared)
        finally:
            self._rows -= rows

    def _admit(self, rows: int) -> None:
        most = self._batching.max_batch_size
        if rows > most:
            # tensorflow/core/kernels/batching_util/shared_batch_scheduler.h words it so.
            raise Refusal(
                StatusCode.INVALID_ARGUMENT,
                f"Task size {rows} is larger than maximum input batch size {most}. Send at most "
                f"{most} rows in a request, or raise max_batch_size in the batching parameters.",
            )
        if self._rows + rows > self._batching.capacity:
            raise Refusal(
                StatusCode.RESOURCE_EXHAUSTED,
                "The batch scheduling queue to which this task was submitted is full: "
                f"{self._rows} rows of {self.name} are under way. Try again later, or raise "
                "max_enqueued_batches in the batching parameters.",
            )
