"""An index of a collection in Milvus: a folder by Milvus Lite, or a server or cluster by address.

A collection holds a row for each picture or text: `id`, `modality`, `path`, `text`, `image_bias`,
`text_bias`, and `vector`: the embedding, and behind it both biases less their means. Any client
finds what `mite search` finds with a query that ends in 0, -1 for a text, in -1, 0 for a picture,
or in 0, 0 for plain cosine, by inner product. What the index is stands as JSON in the property
`mite_tf` of the collection.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.extras import require
from mite_tf.progress import progress
from mite_tf.retrieval.embedding_files import SUMMARY, EmbeddedRows, EmbeddingFolder
from mite_tf.retrieval.index_interface import (
    BY,
    CollectionIndex,
    Found,
    IndexFacts,
    Stored,
    centred_biases,
    extended_queries,
)
from mite_tf.retrieval.index_measurement import measured_search

_COLLECTION = "mite"
_PROPERTY = "mite_tf"
_OUTPUT = ["id", "modality", "path", "text", "image_bias", "text_bias"]
_LONGEST = 65535  # bytes of a text in Milvus; a longer one was embedded as a whole
_AT_ONCE = 1000  # rows of a message, of 2 MB at 512 numbers; a server takes 64 MB
_SAVED = 16384  # rows after which it is noted how far a build has come
# Names of Milvus for our kinds, with what they are built and searched with.
_INDICES: dict[str, tuple[str, dict[str, int], dict[str, int]]] = {
    "auto": ("AUTOINDEX", {}, {}),
    "flat": ("FLAT", {}, {}),
    "hnsw": ("HNSW", {"M": 32, "efConstruction": 100}, {"ef": 128}),
    "ivfpq": ("IVF_PQ", {"nlist": 2048, "m": 0, "nbits": 8}, {"nprobe": 64}),
}


def is_milvus(place: str | Path) -> bool:
    """Returns whether a path or address is one of Milvus.

    Example:
        >>> [is_milvus(each) for each in ("photos.db", "http://localhost:19530#mite", "photos")]
        [True, True, False]
    """
    return "://" in str(place) or str(place).partition("#")[0].endswith(".db")


class MilvusIndex(CollectionIndex):
    """A collection of Milvus.

    Args:
        uri: A folder that ends in `.db`, for Milvus Lite, which one process at a time can open; or
            an address as `http://localhost:19530`. `#NAME` behind it names another collection than
            `mite`. The environment variable `MILVUS_TOKEN` holds the token, if one is needed.

    Raises:
        MissingPackage: If pymilvus is not installed.
        MiteError: If nothing answers there, or the collection is missing, incomplete or another.

    Example:
        >>> MilvusIndex("nowhere.db")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere.db: no such folder. Make an index with `mite index`.
    """

    def __init__(self, uri: str | Path) -> None:
        self._connect(str(uri))
        place = self.name.partition("#")[0]
        if place.endswith(".db") and not Path(place).exists():
            raise MiteError(f"{place}: no such folder. Make an index with `mite index`.")
        with self._asking():
            values = self._properties()
        if values is None:
            raise MiteError(
                f"{self.name}: holds no collection {self._collection!r} of `mite index`. Make one, "
                "or name another behind the address, as in ADDRESS#NAME."
            )
        if values["building"] is not None:
            raise MiteError(f"{self.name}: not complete. Give the same `mite index` again.")
        self.facts = _facts(values)
        with self._asking():
            self._client.load_collection(self._collection)

    @classmethod
    def create(
        cls,
        uri: str | Path,
        folder: EmbeddingFolder,
        *,
        kind: str = "auto",
        export: str | Path | None = None,
        quiet: bool = False,
    ) -> MilvusIndex:
        """Puts embeddings into a new collection.

        If it is killed, the same call goes on where it was, and a reader is told so until then.

        Args:
            uri: As of the class.
            folder: The embeddings.
            kind: `flat`, `hnsw` or `ivfpq`, which Milvus Lite lacks; `auto` leaves it to Milvus.
            export: The export that embeds queries, to be remembered.
            quiet: Whether to show no progress.

        Raises:
            MiteError: If there is such a collection already, or Milvus refuses.
        """
        if kind not in _INDICES:
            raise MiteError(f"Unknown kind {kind!r}; there are {', '.join(_INDICES)}.")
        index = cls.__new__(cls)
        index._connect(str(uri))
        if kind == "ivfpq" and index._lite:
            raise MiteError(
                f"{index.name}: Milvus Lite has no product quantisation. Take the kind hnsw, or a "
                "cluster by its address."
            )
        facts = IndexFacts.of(folder, kind=kind, export=None if export is None else str(export))
        source = hashlib.sha256((folder.path / SUMMARY).read_bytes()).hexdigest()
        if index._lite:
            Path(index.name.partition("#")[0]).parent.mkdir(parents=True, exist_ok=True)
        with index._asking():
            found = index._properties()
            building = found and found["building"]
            if found is not None and building is None:
                raise MiteError(
                    f"{index.name}: there is a collection {index._collection!r} already. Add to it "
                    f"with `mite index {index.name} --add {folder.path}`, or name another behind "
                    "the address, as in ADDRESS#NAME."
                )
            index.facts = facts
            if building is None or building["source"] != source:
                if found is not None:
                    index._client.drop_collection(index._collection)
                building = {"source": source, "rows": 0}
                index._make(building)
            index._put(folder, building, quiet)
            index._tell(None)
            # Another process may have begun it, and what it made is at rest in this one.
            index._client.load_collection(index._collection)
        index._measured = measured_search(index, folder)
        return index

    def __len__(self) -> int:
        with self._asking():
            [found] = self._client.query(self._collection, "", output_fields=["count(*)"])
            return int(found["count(*)"])

    def measurements(self) -> list[Mapping[str, Any]]:
        return self._measured

    def _search(
        self, units: NDArray[np.float32], bias: int | None, k: int, modalities: Sequence[str]
    ) -> list[list[Found]]:
        names = ", ".join(f'"{each}"' for each in modalities)
        with self._asking():
            found = self._client.search(
                self._collection,
                extended_queries(units, bias).tolist(),
                filter="" if len(modalities) > 2 else f"modality in [{names}]",
                limit=k,
                output_fields=_OUTPUT,
                search_params={"params": _INDICES[self.facts.kind][2]},
            )
        return [[self._found(hit, bias) for hit in hits] for hits in found]

    def _found(self, hit: Any, bias: int | None) -> Found:
        row, score = hit["entity"], float(hit["distance"])
        cosine = score
        if bias is not None and self.facts.centres is not None:
            cosine += row[f"{BY[bias]}_bias"] - self.facts.centres[BY[bias]]
        return Found(hit["id"], row["modality"], row["path"], row["text"], score, cosine)

    def get(self, ids: Sequence[str]) -> list[Stored]:
        with self._asking():
            rows = self._client.get(
                self._collection, list(ids), output_fields=[*_OUTPUT[:4], "vector"]
            )
        by_id = {row["id"]: row for row in rows}
        for name in ids:
            if name not in by_id:
                raise self._not_there(name)
        found = []
        for name in ids:
            _, modality, path, text = (by_id[name][each] for each in _OUTPUT[:4])
            vector = np.asarray(by_id[name]["vector"], np.float32)[: self.dimension]
            found.append(Stored(name, modality, path, text, vector))
        return found

    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        with self._asking():
            pages = self._client.query_iterator(
                self._collection,
                batch_size=min(most, _AT_ONCE),
                output_fields=[*_OUTPUT, "vector"],
            )
        while True:
            with self._asking():
                page = pages.next()
            if not page:
                pages.close()
                return
            ids, modalities, paths, texts = ([row[name] for row in page] for name in _OUTPUT[:4])
            vectors = np.array([row["vector"] for row in page], np.float32)[:, : self.dimension]
            image, text = (
                np.array([row[f"{by}_bias"] for row in page], np.float32)
                if self.facts.centres else None
                for by in BY
            )  # fmt: skip
            yield EmbeddedRows(ids, modalities, paths, texts, vectors, image, text)

    def add(self, folder: EmbeddingFolder, *, quiet: bool = False) -> None:
        self._require_same(folder)
        with self._asking():
            self._put(folder, None, quiet)

    def delete(self, ids: Iterable[str]) -> int:
        names, before = list(ids), len(self)
        with self._asking():
            for start in range(0, len(names), _AT_ONCE):
                self._client.delete(self._collection, ids=names[start : start + _AT_ONCE])
            self._client.flush(self._collection)
        return before - len(self)

    def compact(self, *, quiet: bool = False) -> None:
        with self._asking():
            self._client.compact(self._collection)

    def _connect(self, uri: str) -> None:
        place, _, name = uri.partition("#")
        self._collection, self._lite = name or _COLLECTION, place.endswith(".db")
        require(f"The index {uri}", "milvus", ("pymilvus", "milvus_lite")[: 1 + self._lite])
        import pymilvus

        self._pymilvus, self.name = pymilvus, uri
        self._open: Any = None
        self._measured: list[Mapping[str, Any]] = []  # of a new one

    @property
    def _client(self) -> Any:
        if self._open is None:
            place, token = self.name.partition("#")[0], os.environ.get("MILVUS_TOKEN", "")
            # Both tell in their logs, at length, what they raise as well.
            for name in ("milvus_lite", "pymilvus"):
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            self._open = self._pymilvus.MilvusClient(place, token=token)
        return self._open

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Makes one sentence of what Milvus refuses."""
        try:
            yield
        except self._pymilvus.exceptions.MilvusException as error:
            told = " ".join(str(error.message).split())[:300].rstrip(".")
            busy = " Milvus Lite lets one process open a folder at a time." if self._lite else ""
            raise MiteError(f"{self.name}: Milvus refuses: {told}.{busy}") from error

    def _properties(self) -> dict[str, Any] | None:
        """Returns what the collection says of itself; None if there is none."""
        if not self._client.has_collection(self._collection):
            return None
        told = self._client.describe_collection(self._collection).get("properties", {})
        try:
            values: dict[str, Any] = json.loads(told[_PROPERTY])
            values["building"], _facts(values)
        except (KeyError, TypeError, ValueError) as error:
            raise MiteError(
                f"{self.name}: the collection {self._collection!r} is not one of `mite index`. "
                "Name another behind the address, as in ADDRESS#NAME."
            ) from error
        return values

    def _told(self, building: dict[str, Any] | None) -> dict[str, str]:
        return {_PROPERTY: json.dumps({**self.facts.values(), "building": building})}

    def _tell(self, building: dict[str, Any] | None) -> None:
        """Notes how far a build has come; None if it is done."""
        self._client.flush(self._collection)
        self._client.alter_collection_properties(self._collection, self._told(building))

    def _make(self, building: dict[str, Any]) -> None:
        types, size = self._pymilvus.DataType, self.dimension + len(BY)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", types.VARCHAR, is_primary=True, max_length=_LONGEST)
        schema.add_field("modality", types.VARCHAR, max_length=16)
        for name in ("path", "text"):
            schema.add_field(name, types.VARCHAR, max_length=_LONGEST, nullable=True)
        for by in BY:
            schema.add_field(f"{by}_bias", types.FLOAT)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=size)
        index, built, _ = _INDICES[self.facts.kind]
        if "m" in built:
            parts = max(each for each in range(1, size // 4 + 1) if size % each == 0)
            built = built | {"m": parts}
        indices = self._client.prepare_index_params()
        indices.add_index("vector", index_type=index, metric_type="IP", params=built)
        self._client.create_collection(
            self._collection, schema=schema, index_params=indices, properties=self._told(building)
        )

    def _put(self, folder: EmbeddingFolder, building: dict[str, Any] | None, quiet: bool) -> None:
        """Writes rows by their ids, after those that a killed build has written."""
        done, skipped = 0, building["rows"] if building else 0
        with progress("Writing to Milvus", "rows", quiet=quiet) as report:
            for rows in folder.rows(_SAVED):
                count = len(rows.ids)
                if done + count > skipped:
                    for start in range(0, count, _AT_ONCE):
                        part = EmbeddedRows(*(
                            None if each is None else each[start : start + _AT_ONCE]
                            for each in rows
                        ))  # type: ignore[arg-type]  # fmt: skip
                        self._client.upsert(self._collection, self._entities(part))
                        report(done + start + len(part.ids), len(folder))
                    if building is not None:
                        self._tell(building | {"rows": done + count})
                done += count

    def _entities(self, rows: EmbeddedRows) -> list[dict[str, Any]]:
        biases = rows.image_bias, rows.text_bias
        centred = centred_biases(len(rows.ids), biases, self.facts.centres)
        vectors = np.column_stack([rows.vectors, centred])
        plain = [np.zeros(len(rows.ids)) if each is None else each for each in biases]
        names = (*_OUTPUT, "vector")
        texts = [text and text.encode()[:_LONGEST].decode(errors="ignore") for text in rows.texts]
        columns = (*rows[:3], texts, *(np.asarray(each).tolist() for each in (*plain, vectors)))
        return [dict(zip(names, each, strict=True)) for each in zip(*columns, strict=True)]


def _facts(values: dict[str, Any]) -> IndexFacts:
    return IndexFacts(**{each.name: values[each.name] for each in fields(IndexFacts)})
