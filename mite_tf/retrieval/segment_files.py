"""Rows of one modality that were added together, as an index keeps them in files.

`rows.arrow` holds what belongs to each row and its biases, `vectors.bin` the vectors. Neither
changes, and both lie in memory only as far as they are read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.extras import from_extra
from mite_tf.files import writing
from mite_tf.reading import reading
from mite_tf.retrieval.embedding_files import EmbeddedRows
from mite_tf.retrieval.index_interface import centred_biases

ROWS, VECTORS, SEARCH = "rows.arrow", "vectors.bin", "search.faiss"
AGAIN = "Index again with `mite index`."
BLOCK = 16384


class SegmentFacts(NamedTuple):
    """What the manifest of an index says of a segment.

    Attributes:
        name: Its folder.
        modality: Of all its rows.
        kind: `flat`, `hnsw` or `ivfpq`.
        vectors: How they are searched.
        dtype: How they are stored.
        rows: How many there are, with those that are gone.
        sizes: Bytes of each file.
        effort: Candidates for each ten results; those of a coarse search are compared again.
        deleted: File that tells which rows are gone; None as long as none is.
        gone: How many.
        measured: What was measured when it was made.
    """

    name: str
    modality: str
    kind: str
    vectors: str
    dtype: str
    rows: int
    sizes: Mapping[str, int]
    effort: int = 0
    deleted: str | None = None
    gone: int = 0
    measured: tuple[Mapping[str, Any], ...] = ()


class RowsWriter:
    """Writes rows into a new folder as they come; whole when it is closed.

    `opened` closes the files in any case.
    """

    def __init__(self, folder: Path, dtype: str, opened: ExitStack) -> None:
        with from_extra("search", "An index"):
            import pyarrow
        self._arrow, self._dtype = pyarrow, dtype
        self.folder, self.count = folder, 0
        folder.mkdir()
        texts = [(name, pyarrow.string()) for name in ("id", "path", "text")]
        biases = [(name, pyarrow.float32()) for name in ("image_bias", "text_bias")]
        self._schema = pyarrow.schema(texts + biases)
        self._files = [opened.enter_context((folder / name).open("wb")) for name in (ROWS, VECTORS)]
        self._rows = pyarrow.ipc.new_file(self._files[0], self._schema)

    def append(self, rows: EmbeddedRows) -> None:
        """Writes some rows; they are of one modality, which is not written."""
        biases = [
            self._arrow.nulls(len(rows.ids), self._arrow.float32()) if bias is None
            else self._arrow.array(np.asarray(bias, np.float32))
            for bias in (rows.image_bias, rows.text_bias)
        ]  # fmt: skip
        texts = [
            self._arrow.array(list(column), self._arrow.string())
            for column in (rows.ids, rows.paths, rows.texts)
        ]
        with writing(self.folder):
            batch = self._arrow.record_batch([*texts, *biases], schema=self._schema)
            self._rows.write_batch(batch)
            self._files[1].write(np.ascontiguousarray(rows.vectors, self._dtype).tobytes())
        self.count += len(rows.ids)

    def close(self) -> None:
        """Writes the end, and lets the disk have it."""
        with writing(self.folder):
            self._rows.close()
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
                file.close()


class StoredRows:
    """The rows of a segment: what belongs to each, its biases less their means, its vector."""

    def __init__(
        self,
        folder: Path,
        facts: SegmentFacts,
        dimension: int,
        centres: Mapping[str, float] | None,
    ) -> None:
        with from_extra("search", "An index"):
            import pyarrow
        self.facts, self.dimension = facts, dimension
        for name, size in facts.sizes.items():
            with reading(folder / name, "a file of this index", AGAIN):
                if (folder / name).stat().st_size != size:
                    raise ValueError(f"it has not the {size} bytes that were written")
        with reading(folder / ROWS, "rows of an index", AGAIN):
            reader = pyarrow.ipc.open_file(pyarrow.memory_map(str(folder / ROWS)))
            self._batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
            self.starts = np.cumsum([0, *(each.num_rows for each in self._batches)])
            if self.starts[-1] != facts.rows:
                raise ValueError(f"it holds {self.starts[-1]} rows, not {facts.rows}")
            none = [np.zeros((0, 2), np.float32)]
            found = [centred_biases(len(each), _biases(each), centres) for each in self._batches]
            self.biases = np.concatenate(none + found)
        with reading(folder / VECTORS, "vectors of an index", AGAIN):
            self.vectors: Any = np.memmap(
                folder / VECTORS, facts.dtype, "r", shape=(facts.rows, dimension)
            )

    def extended(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns vectors with their biases behind them, float32 `[N, D + 2]`."""
        vectors = np.asarray(self.vectors[rows], np.float32)
        return np.column_stack([vectors, self.biases[rows]])

    def payload(self, position: int) -> tuple[str, str | None, str | None]:
        """Returns id, path and text of a row."""
        number = int(np.searchsorted(self.starts, position, "right")) - 1
        batch, row = self._batches[number], position - int(self.starts[number])
        name, path, text = (batch.column(at)[row].as_py() for at in range(3))
        return name, path, text

    def positions(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Returns the rows that have one of these ids.

        Every id is looked at, which takes some hundredths of a second for a million of them.
        """
        import pyarrow.compute

        wanted = pyarrow.array(list(ids), pyarrow.string())
        found = [
            start + np.flatnonzero(pyarrow.compute.is_in(batch.column(0), value_set=wanted))
            for start, batch in zip(self.starts, self._batches, strict=False)
        ]
        return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)

    def selected(self, start: int, live: NDArray[np.bool_]) -> EmbeddedRows:
        """Returns those of the rows from `start` on that are marked, which are of one batch."""
        import pyarrow

        number = int(np.searchsorted(self.starts, start, "right")) - 1
        part = self._batches[number].slice(start - int(self.starts[number]), len(live))
        part = part.filter(pyarrow.array(live))
        ids, paths, texts = (part.column(at).to_pylist() for at in range(3))
        vectors = np.asarray(self.vectors[start : start + len(live)], np.float32)[live]
        return EmbeddedRows(
            ids, [self.facts.modality] * len(ids), paths, texts, vectors, *_biases(part)
        )


def by_modality(rows: EmbeddedRows) -> Iterator[tuple[str, EmbeddedRows]]:
    """Yields the rows of each modality.

    Example:
        >>> rows = EmbeddedRows(
        ...     ["a", "b"], ["image", "text"], ["a.jpg", None], [None, "a dog"], np.eye(2)
        ... )
        >>> [(modality, part.ids) for modality, part in by_modality(rows)]
        [('image', ['a']), ('text', ['b'])]
    """
    at: dict[str, list[int]] = defaultdict(list)
    for number, modality in enumerate(rows.modalities):
        at[modality].append(number)
    for modality, chosen in at.items():
        columns: list[Any] = [[column[row] for row in chosen] for column in rows[:4]]
        arrays = [None if each is None else each[chosen] for each in rows[4:]]
        yield modality, EmbeddedRows(*columns, *arrays)


def _biases(batch: Any) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Returns the biases by image and by text; None where a row has none."""
    image, text = (
        None if batch.column(at).null_count else batch.column(at).to_numpy() for at in (3, 4)
    )
    return image, text
