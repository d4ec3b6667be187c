"""One part of a FAISS index: rows of one modality that were added together, and their search.

What is searched may be coarse: the best of it are compared again by their vectors and biases, so
that the score of a row does not depend on how it was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.extras import from_extra
from mite_tf.reading import reading
from mite_tf.retrieval.embedding_files import EmbeddedRows
from mite_tf.retrieval.faiss_kinds import parameters, resized
from mite_tf.retrieval.index_interface import extended_queries
from mite_tf.retrieval.segment_files import AGAIN, BLOCK, SEARCH, SegmentFacts, StoredRows

# Numbers of vectors that are compared again at once: 64 MB.
_AT_ONCE = 1 << 24


class Ranked(NamedTuple):
    """Rows of a segment `[Q, k]`, best first; a score of minus infinity stands for no row."""

    positions: NDArray[Any]
    scores: NDArray[Any]
    cosines: NDArray[Any]


class Segment(StoredRows):
    """Rows of one modality, ready to be searched; `facts` stand in the manifest of the index."""

    def __init__(
        self,
        index: Path,
        facts: SegmentFacts,
        dimension: int,
        centres: Mapping[str, float] | None,
    ) -> None:
        folder = index / facts.name
        super().__init__(folder, facts, dimension, centres)
        with from_extra("search", "An index"):
            import faiss
        with reading(folder / SEARCH, "what FAISS has written", AGAIN):
            # Read as far as it is searched, so that opening takes no time.
            self._index = faiss.read_index(str(folder / SEARCH), faiss.IO_FLAG_MMAP_IFC)
            if self._index.ntotal != facts.rows:
                raise ValueError(f"it holds {self._index.ntotal} vectors, not {facts.rows}")
        self.live = np.ones(facts.rows, bool)
        self._selector = None
        if facts.deleted:
            with reading(folder / facts.deleted, "a list of rows that are gone", AGAIN):
                self.live[np.load(folder / facts.deleted, allow_pickle=False)] = False
            self._bits = np.packbits(self.live, bitorder="little")
            self._selector = faiss.IDSelectorBitmap(self._bits)

    def __len__(self) -> int:
        return int(self.facts.rows - self.facts.gone)

    def search(
        self, units: NDArray[np.float32], bias: int | None, k: int, effort: int = 0
    ) -> Ranked:
        """Finds rows for unit queries `[Q, D]`; `bias` is the column to take off."""
        k = min(k, len(self))
        if not k:
            return _ranked(np.zeros((len(units), 0)), np.zeros((len(units), 0)), None, 0)
        looked_at = max(k, (effort or self.facts.effort) * max(10, k) // 10)
        exact = self.facts.vectors == "float32" and self.facts.kind != "ivfpq"
        count = k if exact else min(looked_at, len(self))
        queries = resized(extended_queries(units, bias), self._index.d)
        how = parameters(self.facts, looked_at, self._selector)
        _, found = self._index.search(queries, count, params=how)
        step = max(1, _AT_ONCE // (count * self.dimension))
        parts = [
            self._compared(units[at : at + step], found[at : at + step], bias, k)
            for at in range(0, len(units), step)
        ]
        return Ranked(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _compared(
        self, units: NDArray[np.float32], found: NDArray[np.int64], bias: int | None, k: int
    ) -> Ranked:
        """Ranks candidates by their vectors and biases."""
        vectors = np.asarray(self.vectors[found], np.float32)
        cosines = np.matmul(vectors, units[:, :, None])[:, :, 0]
        off = None if bias is None else self.biases[found, bias]
        return _ranked(found, cosines, off, k)

    def exactly(self, units: NDArray[np.float32], bias: int | None, k: int) -> Ranked:
        """Compares queries with every row that is there, in blocks."""
        best = _ranked(np.zeros((len(units), 0)), np.zeros((len(units), 0)), None, 0)
        for start in range(0, self.facts.rows, BLOCK):
            block = slice(start, start + BLOCK)
            cosines = units @ np.asarray(self.vectors[block], np.float32).T
            at = np.where(self.live[block], np.arange(start, start + cosines.shape[1]), -1)
            at = np.broadcast_to(at, cosines.shape)
            new = _ranked(at, cosines, None if bias is None else self.biases[block, bias], k)
            best = _first(Ranked(*map(np.hstack, zip(best, new, strict=True))), k)
        return best

    def find(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Returns the rows of these ids that are there."""
        positions = self.positions(ids)
        return positions[self.live[positions]]

    def rows(self, most: int = BLOCK) -> Iterator[EmbeddedRows]:
        """Yields the rows that are there, at most so many at once."""
        for first, end in zip(self.starts, self.starts[1:], strict=False):
            for start in range(int(first), int(end), most):
                live = self.live[start : min(start + most, int(end))]
                if live.any():
                    yield self.selected(start, live)


def _ranked(
    positions: NDArray[Any], cosines: NDArray[Any], off: NDArray[Any] | None, k: int
) -> Ranked:
    scores = (cosines if off is None else cosines - off).astype(np.float32)
    scores[positions < 0] = -np.inf
    return _first(Ranked(positions.astype(np.int64), scores, cosines.astype(np.float32)), k)


def _first(ranked: Ranked, k: int) -> Ranked:
    """Returns the best `k`, best first."""
    scores = ranked.scores
    if k < scores.shape[1]:
        some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        ranked = Ranked(*(np.take_along_axis(each, some, 1) for each in ranked))
    order = np.argsort(-ranked.scores, axis=1, kind="stable")
    return Ranked(*(np.take_along_axis(each, order, 1) for each in ranked))
