"""One file of embeddings: read, decoded, embedded and written, alike whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mite_tf.collection.pictures import ahead, contents
from mite_tf.collection.plan import Plan, part
from mite_tf.collection.sources import Item
from mite_tf.errors import MiteError
from mite_tf.export.claims import check_hubs
from mite_tf.export.manifest import HUBS, Manifest, Version, of_one_version
from mite_tf.retrieval.cosine import first_values, unit_rows
from mite_tf.retrieval.embedding_files import EmbeddedRows, write_shard
from mite_tf.retrieval.hubs import HubCorrection
from mite_tf.serving.backends import Backend, Rows, open_backend
from mite_tf.serving.backends.backend import together

# Batches are cut from the beginning of a shard, and one thread computes them: the last bits of an
# embedding depend on both. Larger batches are no faster on one thread.
_PICTURES, _TEXTS = 32, 64
_DECODED = 2 * _PICTURES  # pictures that are decoded before they are wanted
_READERS = 8  # threads that wait for disks and URLs
_T = TypeVar("_T")


class Job(NamedTuple):
    """What is done with every file of a collection.

    Example:
        >>> Job("exports/first", "embeddings", "abc").dtype
        'float32'
    """

    export: str
    folder: str
    space: str
    dtype: Literal["float32", "float16"] = "float32"
    fuse: bool = False
    dimensions: int | None = None


class Done(NamedTuple):
    """A file that is written: its number, and how many pictures and texts were embedded.

    Example:
        >>> Done(0, pictures=7, texts=0).texts
        0
    """

    number: int
    pictures: int
    texts: int


class Embedder:
    """Writes files of a collection, one after the other, on one core.

    Args:
        job: What is done.

    Raises:
        MiteError: If the export cannot be used, or is of another model than the plan.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._plan = job, Plan.read(job.folder)
        manifest, self._hubs = part_of_export(job.export, job.dimensions)
        self._size = manifest.embedding_size
        if manifest.space != job.space:
            raise MiteError(
                f"{job.export}: holds another model now than when this was begun. Embed into "
                "another folder."
            )
        self._backends: dict[str, Backend] = {}

    def shard(self, number: int) -> Done:
        """Embeds the items of one file and writes it, whole or not at all."""
        skipped: dict[str, str] = {}
        rows = self._rows(self._plan.items(number), skipped)
        job = self._job
        path = part(job.folder, number)
        words = self._counted(rows.texts)
        write_shard(path, rows, space=job.space, dtype=job.dtype, skipped=skipped, words=words)
        pictures = sum(each is not None for each in rows.paths)
        return Done(number, pictures, sum(each is not None for each in rows.texts))

    def _rows(self, items: Sequence[Item], skipped: dict[str, str]) -> EmbeddedRows:
        faults = {item.id: item.fault for item in items if item.fault}
        sound = [item for item in items if not item.fault]
        pictures = self._pictures([item for item in sound if item.picture], faults)
        skipped.update((item.id, faults[item.id]) for item in items if item.id in faults)
        kept = [item for item in sound if item.id not in faults]
        texts = iter(self._texts([text for item in kept for text in item.texts]))
        rows: list[tuple[str, str, str | None, str | None]] = []
        vectors: list[NDArray[np.float32]] = []
        for item in kept:
            own = list(islice(texts, len(item.texts)))
            named = [f"{item.id}#{number}" for number in range(len(own))]
            if item.picture and own and self._job.fuse:
                rows.append((item.id, "fused", item.picture, "\n".join(item.texts)))
                vectors.append(_fused(pictures[item.id], own))
                continue
            if item.picture:
                rows.append((item.id, "image", item.picture, None))
                vectors.append(pictures[item.id])
            elif len(own) == 1:
                named = [item.id]
            of_texts = zip(named, item.texts, strict=True)
            rows += [(name, "text", None, text) for name, text in of_texts]
            vectors += own
        whole = np.array(vectors, np.float32).reshape(-1, self._size)
        columns = EmbeddedRows(
            ids=[row[0] for row in rows],
            modalities=[row[1] for row in rows],
            paths=[row[2] for row in rows],
            texts=[row[3] for row in rows],
            vectors=whole,
        )
        if self._hubs is None:
            return columns
        return columns._replace(
            image_bias=self._hubs.bias(whole, queries="image"),
            text_bias=self._hubs.bias(whole, queries="caption"),
        )

    def _pictures(
        self, items: Sequence[Item], faults: dict[str, str]
    ) -> dict[str, NDArray[np.float32]]:
        """The embedding of each picture by its id; those that cannot be embedded get a fault."""
        if not items:
            return {}
        backend = self._backend("image")
        vectors: dict[str, NDArray[np.float32]] = {}

        def decoded(read: tuple[Item, bytes | MiteError]) -> tuple[Item, Rows | MiteError]:
            item, data = read
            if isinstance(data, MiteError):
                return item, data
            try:
                return item, backend.prepare("serving_default", _column([data]))
            except MiteError as error:
                return item, error

        def sound() -> Iterator[tuple[str, Rows]]:
            for item, rows in ahead(decoder, decoded, contents(items, readers), _DECODED):
                if isinstance(rows, MiteError):
                    faults[item.id] = str(rows).removeprefix("image_bytes[0]: ")
                else:
                    yield item.id, rows

        with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as decoder:
            for batch in _batches(sound(), _PICTURES):
                found = self._run(backend, together([rows for _, rows in batch]))
                vectors.update(zip((name for name, _ in batch), found, strict=True))
        return vectors

    def _texts(self, texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        for batch in _batches(texts, _TEXTS):
            backend = self._backend("text")
            rows = backend.prepare("serving_default", _column([each.encode() for each in batch]))
            yield from self._run(backend, rows)

    def _counted(self, texts: Sequence[str | None]) -> tuple[int, int]:
        """How many words these have, and how many of them the model does not know."""
        given = [each.encode() for each in texts if each is not None]
        if not given:
            return 0, 0
        backend = self._backend("text")
        return backend.words(backend.prepare("serving_default", _column(given)))

    def _run(self, backend: Backend, rows: Rows) -> NDArray[np.float32]:
        return first_values(backend.run(rows), self._size)

    def _backend(self, model: str) -> Backend:
        if model not in self._backends:
            self._backends[model] = open_backend(self._job.export, model, threads=1)
        return self._backends[model]


def embed_shard(job: Job, number: int) -> Done:
    """Writes one file of a collection; what it takes is kept in this process for the next one.

    Raises:
        MiteError: As `Embedder`.
    """
    return _embedder(job).shard(number)


_embedder: Callable[[Job], Embedder] = lru_cache(1)(Embedder)


def part_of_export(
    export: str | Path, dimensions: int | None = None
) -> tuple[Manifest, HubCorrection | None]:
    """Returns what an export says of itself and its bank of hub correction, if it has one.

    Both are those of the first `dimensions` values of its embeddings; of all by default.

    Raises:
        MiteError: If the export or its bank cannot be used, or it was not trained for that.
    """
    manifest, hubs = of_one_version(export, _with_bank)
    if dimensions is None or dimensions == manifest.embedding_size:
        return manifest, hubs
    return manifest.first(dimensions), hubs and hubs.first(dimensions)


def _with_bank(version: Version) -> tuple[Manifest, HubCorrection | None]:
    if version.manifest.hubs is None:
        return version.manifest, None
    check_hubs(version.manifest, version.path(HUBS))
    return version.manifest, HubCorrection.load(version.path(HUBS))


def _fused(picture: NDArray[np.float32], texts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    [text] = unit_rows([np.sum(texts, axis=0)], allow_zero=True)
    return np.asarray(unit_rows([picture + text], allow_zero=True)[0])


def _column(values: list[bytes]) -> NDArray[np.object_]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _batches(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    remaining = iter(values)
    while batch := list(islice(remaining, size)):
        yield batch
