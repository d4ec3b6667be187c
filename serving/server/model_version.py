"""One version of one model: warmed, asked, and drained."""

from __future__ import annotations

import asyncio
import struct
import timeit
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from grpc import StatusCode

from mite_tf.errors import MiteError
from mite_tf.export.manifest import read_version
from mite_tf.reading import reading
from mite_tf.serving.backends import Backend, Rows
from mite_tf.serving.backends.backend import together
from mite_tf.serving.server.batcher import Batcher
from mite_tf.serving.server.lanes import Lane, Lanes, pieces
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.options import Batching
from mite_tf.serving.server.outcomes import Refusal, invalid
from mite_tf.serving.wire.messages import PredictionLog
from mite_tf.serving.wire.tensors import to_array

_WARMUP = "assets.extra/tf_serving_warmup_requests"
# TensorFlow Serving takes no more (servables/tensorflow/saved_model_warmup_util.h).
_MOST_WARMUP = 1000
_CAPTION = b"two dogs run across the wet sand , and a girl in a red coat throws them a ball ."
# Handing a call to a thread may take so long. Of the timed calls the first allocates, and other
# programs disturb the second.
_LIGHT_SECONDS, _ROUNDS = 2e-3, 3


# no example: it lives on the event loop of a server; see `start_server`.
class ModelVersion:
    """A backend with its queue; it counts its users, to know when it can be freed.

    The threads in `lanes` prepare inputs; the other arguments are those of `Batcher`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        light_rows: int,
        batching: Batching,
        lanes: Lanes,
        threads: Executor,
        metrics: Metrics,
    ) -> None:
        self.backend = backend
        self.name = backend.name
        self.number = backend.version
        self._batching = batching
        self._lanes = lanes
        self._batcher = Batcher(
            model=backend.name,
            run=backend.run,
            batching=batching,
            threads=threads,
            light_rows=light_rows,
            metrics=metrics,
        )
        self._rows: Counter[Lane | None] = Counter()  # under way
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
        """Returns when no request uses the version; no new one may begin."""
        while self._users:
            self._idle.clear()
            await self._idle.wait()

    async def embed(self, signature: str, array: np.ndarray) -> np.ndarray:
        """Embeds the input of one request as float32 `[N, D]`.

        Its shape has been checked, and strings are `bytes`.
        """
        rows = len(array)
        self.check_rows(rows)
        costs = self.backend.costs(signature, array)
        lane = self._lanes.choose(costs) if costs else None
        self._admit(rows, lane)
        self._rows[lane] += rows
        try:
            if lane is None:
                return await self._batcher.put(self.backend.prepare(signature, array))
            async with lane.room(rows * self.backend.size_of_row(signature)):
                return await self._batcher.put(await self._prepare(lane, signature, array, costs))
        except asyncio.CancelledError:
            self._batcher.leave_out()
            raise
        finally:
            self._rows[lane] -= rows

    async def tokens(self, texts: np.ndarray) -> int:
        """Returns how many tokens the model reads of texts that it has embedded."""
        costs = self.backend.costs("serving_default", texts)
        if not costs:
            return self.backend.tokens(texts)
        count: int = await self._lanes.choose(costs).work(self.backend.tokens, texts)
        return count

    @property
    def most_rows(self) -> int:
        """Most rows of a request."""
        return self._batching.max_batch_size

    async def _prepare(
        self, lane: Lane, signature: str, array: np.ndarray, costs: list[int]
    ) -> Rows:
        parts = []
        for part in pieces(costs):
            work = self.backend.prepare, signature, array[part], part.start
            parts.append(await lane.work(*work))
        return together(parts)

    def check_rows(self, rows: int) -> None:
        """Refuses a request of more rows than any may have."""
        most = self.most_rows
        if rows > most:
            # tensorflow/core/kernels/batching_util/shared_batch_scheduler.h words it so.
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size {most}. Send at most "
                f"{most} rows in a request, or raise max_batch_size in the batching parameters."
            )

    def _admit(self, rows: int, lane: Lane | None) -> None:
        under_way = self._rows[lane]
        if under_way + rows > self._batching.capacity:
            raise Refusal(
                StatusCode.RESOURCE_EXHAUSTED,
                "The batch scheduling queue to which this task was submitted is full: "
                f"{under_way} rows of {self.name} are under way. Try again later, or raise "
                "max_enqueued_batches in the batching parameters.",
            )


# no example: it takes an export folder, which needs an encoder.
def warm(backend: Backend, export: Path, most: int) -> int:
    """Replays the warm-up requests of an export, or made-up ones where it has none.

    Returns:
        How many rows, up to `most`, a call may have to take less time than handing it to a thread.

    Raises:
        MiteError: If the backend cannot answer one, or gives something else than embeddings.
    """
    for signature, array in _recorded(backend, export) or _made_up(backend):
        embedding = backend.run(backend.prepare(signature, array))
        expected = (len(array), backend.embedding_size)
        if embedding.shape != expected or not np.isfinite(embedding).all():
            raise MiteError(
                f"{backend.name} version {backend.version}: {signature} gives an array of shape "
                f"{list(embedding.shape)} instead of finite embeddings {list(expected)}."
            )
    name, array = next(_made_up(backend))
    light = 0
    for rows in (most >> shift for shift in reversed(range(most.bit_length()))):
        call = partial(backend.run, backend.prepare(name, np.repeat(array, rows, axis=0)))
        if min(timeit.repeat(call, number=1, repeat=_ROUNDS)) > _LIGHT_SECONDS:
            break
        light = rows
    return light


def _recorded(backend: Backend, export: Path) -> list[tuple[str, np.ndarray]]:
    """Reads the warm-up requests that were exported; none where only ONNX files were copied."""
    name = f"savedmodel/{backend.name}/{backend.version}/{_WARMUP}"
    if not (export / name).is_file():
        return []
    version = read_version(export)
    if name not in version.manifest.files:  # of the version that comes just now
        return []
    data, found = version.read(name), []
    with reading(version.path(name), "a file of warm-up requests", "Export the run again."):
        offset = count = 0
        # A TFRecord: length, its checksum, the record, its checksum.
        while offset < len(data) and count < _MOST_WARMUP:
            (length,) = struct.unpack_from("<Q", data, offset)
            log = PredictionLog.FromString(data[offset + 12 : offset + 12 + length])
            offset += length + 16
            count += 1
            request = log.predict_log.request
            for tensor in request.inputs.values():
                signature = request.model_spec.signature_name or "serving_default"
                found.append((signature, to_array(tensor)))
    return found


def _made_up(backend: Backend) -> Iterator[tuple[str, np.ndarray]]:
    for name, (given, dtype, shape) in backend.signatures.items():
        if given != "image_bytes":
            sizes = [1, *(8 if size is None else size for size in shape[1:])]
            value: Any = _CAPTION if dtype == "string" else 1
            yield name, np.full(sizes, value, object if dtype == "string" else dtype)
