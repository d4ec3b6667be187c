"""An index of a collection in a folder, searched by FAISS.

A folder holds `index.json` and segments: rows of one modality that were added together. Adding
writes new segments, deleting a list of rows that are gone, compacting one segment for each modality
in place of all. Each is done when `index.json` is replaced, by one rename: whoever is killed when,
the index is the one before or the one after, and the next to write removes what is of neither.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.extras import require
from mite_tf.files import is_hidden, locked, write_text, writing, written_beside
from mite_tf.progress import progress
from mite_tf.reading import read_object, reading
from mite_tf.recognition import recognize, wrong_kind
from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder
from mite_tf.retrieval.faiss_kinds import build, kind_for
from mite_tf.retrieval.faiss_segment import Segment
from mite_tf.retrieval.index_interface import CollectionIndex, Found, IndexFacts, Stored
from mite_tf.retrieval.index_measurement import measured, table
from mite_tf.retrieval.segment_files import (
    SEARCH,
    RowsWriter,
    SegmentFacts,
    StoredRows,
    by_modality,
)

MANIFEST = "index.json"
# Changes when a reader of older folders would misunderstand.
_FORMAT = 1
_AGAIN = "Index again with `mite index`."
_MAKE = "Make an index with `mite index`."
_LOCK = ".lock"
_SEGMENT = re.compile(r"segment-(\d+)-\w+")
_DELETED = re.compile(r"deleted-\d+\.npy")


class FaissIndex(CollectionIndex):
    """Vectors in a folder; they lie in memory as far as they are searched.

    Args:
        path: The folder.

    Raises:
        MissingPackage: If FAISS or pyarrow is not installed.
        MiteError: If it is no such folder, not complete, or damaged.

    Example:
        >>> FaissIndex("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an index with `mite index`.
    """

    segments: list[Segment]

    def __init__(self, path: str | Path) -> None:
        self.path, self.name = Path(path), str(path)
        self._read()

    @classmethod
    def create(
        cls,
        path: str | Path,
        folder: EmbeddingFolder,
        *,
        kind: Literal["auto", "flat", "hnsw", "ivfpq"] = "auto",
        vectors: Literal["float32", "float16", "int8", "binary"] = "float32",
        export: str | Path | None = None,
        quiet: bool = False,
    ) -> FaissIndex:
        """Builds an index of embeddings.

        Args:
            path: Folder to make.
            folder: The embeddings.
            kind: How vectors are searched; `auto` takes `flat` up to 100,000 rows of a modality,
                and `hnsw` above.
            vectors: What is searched. `int8` and `binary`, one bit for a number, find candidates,
                which are ranked by the vectors as they were embedded.
            export: The export that embeds queries, to be remembered.
            quiet: Whether to show no progress.

        Raises:
            MissingPackage: If FAISS or pyarrow is not installed.
            MiteError: If there is an index already, or something else, or the embeddings are
                damaged.
        """
        require("An index", "search", ("faiss", "pyarrow"))
        kind_for(kind, vectors, len(folder))
        path = Path(path)
        if (path / MANIFEST).exists():
            raise MiteError(
                f"{path}: there is an index already. Add to it with `mite index {path} --add "
                f"{folder.path}`, or name another folder."
            )
        if path.exists() and not (path.is_dir() and all(map(_is_ours, path.iterdir()))):
            raise MiteError(f"{path}: is {recognize(path).what}. Name a new folder.")
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        index = cls.__new__(cls)
        index.path, index.name = path, str(path)
        index.facts = IndexFacts.of(
            folder, kind=kind, vectors=vectors, export=None if export is None else str(export)
        )
        index.segments = []
        try:
            with index._writing(new=True):
                index._append(folder.rows(), folder.dtype, len(folder), [], quiet)
        finally:
            if made and not (path / MANIFEST).exists():
                shutil.rmtree(path, ignore_errors=True)
        return index

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    def measurements(self) -> list[Mapping[str, Any]]:
        return table(self.segments)

    def _search(
        self, units: NDArray[np.float32], bias: int | None, k: int, modalities: Sequence[str]
    ) -> list[list[Found]]:
        segments = [each for each in self.segments if each.facts.modality in modalities]
        found = [segment.search(units, bias, k) for segment in segments]
        results = []
        for row in range(len(units)):
            of_row = [
                (-float(score), number, int(position), float(cosine))
                for number, each in enumerate(found)
                for position, score, cosine in zip(
                    each.positions[row], each.scores[row], each.cosines[row], strict=True
                )
                if np.isfinite(score)
            ]
            results.append(
                [
                    _found(segments[number], position, -away, cosine)
                    for away, number, position, cosine in sorted(of_row)[:k]
                ]
            )
        return results

    def get(self, ids: Sequence[str]) -> list[Stored]:
        stored = {}
        for segment in self.segments:
            for position in segment.find(ids):
                name, path, text = segment.payload(position)
                vector = np.array(segment.vectors[position], np.float32)
                stored[name] = Stored(name, segment.facts.modality, path, text, vector)
        for name in ids:
            if name not in stored:
                raise self._not_there(name)
        return [stored[name] for name in ids]

    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        for segment in self.segments:
            yield from segment.rows(most)

    def add(self, folder: EmbeddingFolder, *, quiet: bool = False) -> None:
        self._require_same(folder)
        with self._writing():
            self._append(folder.rows(), folder.dtype, len(folder), self.segments, quiet)

    def delete(self, ids: Iterable[str]) -> int:
        with self._writing():
            before = len(self)
            self.segments = self._without(self.segments, list(ids))
            self._commit()
            return before - len(self)

    def compact(self, *, quiet: bool = False) -> None:
        with self._writing():
            facts = [each.facts for each in self.segments]
            several = len({each.modality for each in facts}) < len(facts)
            if not several and not any(each.gone for each in facts):
                return
            dtypes = {each.dtype for each in facts}
            dtype = "float16" if dtypes == {"float16"} else "float32"
            self._append(self.rows(), dtype, len(self), None, quiet)

    def _read(self) -> None:
        file = self.path / MANIFEST
        if not self.path.exists():
            raise MiteError(f"{self.path}: no such folder. {_MAKE}")
        if not file.is_file():
            if self.path.is_dir() and any(map(_SEGMENT.fullmatch, _names(self.path))):
                raise MiteError(f"{self.path}: not complete. Give the same `mite index` again.")
            raise wrong_kind(self.path, f"no index: it holds no {MANIFEST}", _MAKE)
        values = read_object(file, "what describes an index", _AGAIN)
        with reading(file, "what describes an index", _AGAIN):
            if values["mite_tf_index"] != _FORMAT:
                raise ValueError(f"it is of format {values['mite_tf_index']!r:.20}")
            facts = IndexFacts(**{each.name: values[each.name] for each in fields(IndexFacts)})
            segments = [SegmentFacts(**each) for each in values["segments"]]
            if not all(map(_sound, segments)):
                raise ValueError("its values are out of range")
        self.facts = facts
        self.segments = [self._opened(each) for each in segments]

    def _opened(self, facts: SegmentFacts) -> Segment:
        return Segment(self.path, facts, self.dimension, self.facts.centres)

    @contextmanager
    def _writing(self, *, new: bool = False) -> Iterator[None]:
        """Holds the index alone, as it is now, without what killed processes have left."""

        def busy() -> NoReturn:
            raise MiteError(f"{self.path}: another process writes to it. Try again later.")

        with writing(self.path), locked(self.path / _LOCK, busy=busy):
            if not new:
                self._read()
            self._sweep()
            try:
                yield
            finally:
                self._sweep()

    def _sweep(self) -> None:
        """Removes what `index.json` does not name."""
        values = {}
        if (self.path / MANIFEST).exists():
            values = read_object(self.path / MANIFEST, "what describes an index", _AGAIN)
        named = {each["name"]: each["deleted"] for each in values.get("segments", [])}
        for name in filter(_SEGMENT.fullmatch, _names(self.path)):
            if name not in named:
                shutil.rmtree(self.path / name, ignore_errors=True)
                continue
            for file in (self.path / name).glob("*deleted-*.npy*"):
                if file.name != named[name]:
                    file.unlink(missing_ok=True)

    def _append(
        self,
        rows: Iterable[EmbeddedRows],
        dtype: str,
        total: int,
        beside: list[Segment] | None,
        quiet: bool,
    ) -> None:
        """Writes segments of these rows, in place of rows of equal ids; None: of all others."""
        dtype = "float16" if self.facts.vectors == "float16" else dtype
        names = [int(found[1]) for name in _names(self.path) if (found := _SEGMENT.fullmatch(name))]
        number = 1 + max(names, default=0)
        writers: dict[str, RowsWriter] = {}
        seen: list[str] = []
        with ExitStack() as opened:
            report, done = opened.enter_context(progress("Writing", "rows", quiet=quiet)), 0
            for batch in rows:
                seen += batch.ids
                for modality, part in by_modality(batch):
                    if modality not in writers:
                        folder = self.path / f"segment-{number:04}-{modality}"
                        writers[modality] = RowsWriter(folder, dtype, opened)
                    writers[modality].append(part)
                done += len(batch.ids)
                report(done, total)
            if len(set(seen)) < done:
                twice = next(name for name, count in Counter(seen).items() if count > 1)
                told = f"two rows to add have the id {twice!r}; an id names one."
                raise MiteError(f"{self.path}: {told}")
            for writer in writers.values():
                writer.close()
        made = [
            self._searchable(writer, modality, dtype, quiet)
            for modality, writer in sorted(writers.items())
        ]
        kept = [] if beside is None else self._without(beside, seen)
        corrected = self.facts.centres is not None
        made = [measured(each, [*made, *kept], corrected=corrected) for each in made]
        self.segments = [*kept, *made]
        self._commit()

    def _searchable(self, writer: RowsWriter, modality: str, dtype: str, quiet: bool) -> Segment:
        kind = kind_for(self.facts.kind, self.facts.vectors, writer.count)
        facts = SegmentFacts(
            writer.folder.name, modality, kind, self.facts.vectors, dtype, writer.count, {}
        )
        stored = StoredRows(writer.folder, facts, self.dimension, self.facts.centres)
        with progress(f"Indexing {modality} rows", "rows", quiet=quiet) as report:
            build(stored, writer.folder / SEARCH, report)
        sizes = {each.name: each.stat().st_size for each in sorted(writer.folder.iterdir())}
        return self._opened(facts._replace(sizes=sizes))

    def _without(self, segments: list[Segment], ids: Sequence[str]) -> list[Segment]:
        """Returns segments in which rows of these ids are marked as gone."""
        kept = []
        for segment in segments:
            gone = segment.find(ids)
            if len(gone):
                live = segment.live.copy()
                live[gone] = False
                if not live.any():
                    continue
                facts = segment.facts
                name = f"deleted-{facts.gone + len(gone)}.npy"
                with written_beside(self.path / facts.name / name, "wb") as file:
                    np.save(file, np.flatnonzero(~live))
                facts = facts._replace(deleted=name, gone=facts.gone + len(gone))
                segment = self._opened(facts)
            kept.append(segment)
        return kept

    def _commit(self) -> None:
        values = {
            "mite_tf_index": _FORMAT,
            **self.facts.values(),
            "segments": [each.facts._asdict() for each in self.segments],
        }
        write_text(self.path / MANIFEST, f"{json.dumps(values, indent=2)}\n")


def _found(segment: Segment, position: int, score: float, cosine: float) -> Found:
    name, path, text = segment.payload(position)
    return Found(name, segment.facts.modality, path, text, score, cosine)


def _sound(facts: SegmentFacts) -> bool:
    """Returns whether a segment may be as its manifest says: names of ours, and numbers."""
    numbers = (facts.rows, facts.effort, facts.gone)
    return (
        _SEGMENT.fullmatch(facts.name) is not None
        and (facts.deleted is None or _DELETED.fullmatch(facts.deleted) is not None)
        and all(isinstance(each, int) and each >= 0 for each in numbers)
        and facts.gone <= facts.rows
    )


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def _is_ours(path: Path) -> bool:
    """Returns whether a killed process has left this, or a program that puts hidden files."""
    return is_hidden(path.name) or _SEGMENT.fullmatch(path.name) is not None
