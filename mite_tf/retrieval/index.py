"""Exact cosine search over vectors that fit in memory."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.files import written_beside
from mite_tf.reading import open_arrays, reading
from mite_tf.retrieval.cosine import similarity, unit_rows

_FORMAT = "mite_tf.retrieval.VectorIndex/1"
_QUERIES = 256
_VECTORS = 4096


class Hit(NamedTuple):
    """One search result: the id of a vector, what it is ranked by, and its cosine similarity.

    The score is the cosine, in [-1, 1], less the bias of the vector where hubs are corrected. A
    search gives both.
    """

    id: str
    score: float
    cosine: float | None = None


class VectorIndex:
    """Vectors with ids, searched exactly by cosine similarity, with hubs corrected or without.

    Every query is compared with every vector, in blocks, so a search needs little memory
    beside the vectors and finds the true nearest ones. Equal scores keep the order in which
    the vectors were given, however the work is cut into blocks.

    Args:
        ids: One name per vector, such as a file name or a caption; need not be unique.
        vectors: Real numbers of shape `[N, D]`, N at least 1; kept as float32 of length 1.
        metadata: Anything that JSON can hold, saved with the index: which model made the
            vectors, for example.

    Raises:
        MiteError: If the numbers of ids and vectors differ, there are none, or a vector is
            all zeros or not finite.

    Example:
        >>> index = VectorIndex(["dog", "cat"], [[1.0, 0.0], [0.6, 0.8]])
        >>> [[hit]] = index.search([[0.0, 5.0]], k=1)
        >>> hit.id, round(hit.score, 4)
        ('cat', 0.8)
    """

    def __init__(
        self, ids: Sequence[str], vectors: ArrayLike, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        units = unit_rows(vectors)
        if len(ids) != len(units):
            raise MiteError(f"Every vector needs an id: {len(ids)} ids, {len(units)} vectors.")
        if len(units) == 0:
            raise MiteError("An index needs at least one vector; received none.")
        self.ids = tuple(ids)
        self.vectors = units
        self.metadata = dict(metadata or {})

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries: ArrayLike, k: int = 10, *, bias: ArrayLike | None = None
    ) -> list[list[Hit]]:
        """Finds the `k` most similar vectors for every query, most similar first.

        There are fewer than `k` hits where there are fewer vectors.

        Args:
            queries: Real numbers of shape `[Q, D]`.
            k: Number of hits for each.
            bias: What is taken off the similarity of each vector, of shape `[N]`, such as
                `HubCorrection.bias(index.vectors, queries="caption")`.

        Raises:
            MiteError: If `k` is below 1, the dimension differs from the index's, a query is all
                zeros or not finite, or the bias is not one finite number for each vector.

        Example:
            >>> index = VectorIndex(["hub", "cat"], [[0.8, 0.6], [0.6, 0.8]])
            >>> [[hit]] = index.search([[1.0, 0.0]], k=1, bias=[0.4, 0.1])
            >>> hit.id, round(hit.score, 4), round(hit.cosine, 4)
            ('cat', 0.5, 0.6)
        """
        units = unit_rows(queries, name="queries")
        if k < 1:
            raise MiteError(f"k must be at least 1; received {k}.")
        if units.shape[1] != self.vectors.shape[1]:
            raise MiteError(
                f"The index holds vectors of dimension {self.vectors.shape[1]}, the queries have "
                f"{units.shape[1]}: were they made by the same model?"
            )
        off = np.asarray(np.zeros(len(self)) if bias is None else bias, np.float32)
        if off.shape != (len(self),) or not np.isfinite(off).all():
            raise MiteError(
                f"bias must hold one finite number for each of {len(self)} vectors; its shape is "
                f"{off.shape}."
            )
        blocks = (units[start : start + _QUERIES] for start in range(0, len(units), _QUERIES))
        return [hits for block in blocks for hits in self._search_block(block, k, off)]

    def _search_block(
        self, queries: NDArray[np.float32], k: int, bias: NDArray[np.float32]
    ) -> list[list[Hit]]:
        scores = np.empty((len(queries), 0), np.float32)
        cosines = scores
        positions = np.empty((len(queries), 0), np.int64)
        for start in range(0, len(self), _VECTORS):
            block = self.vectors[start : start + _VECTORS]
            new = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
            found = similarity(queries, block)
            cosines = np.concatenate([cosines, found], axis=1)
            scores = np.concatenate([scores, found - bias[start : start + len(block)]], axis=1)
            positions = np.concatenate([positions, new], axis=1)
            best = np.stack([_top(row, k) for row in scores])
            scores = np.take_along_axis(scores, best, axis=1)
            cosines = np.take_along_axis(cosines, best, axis=1)
            positions = np.take_along_axis(positions, best, axis=1)
        return [
            [Hit(self.ids[p], float(s), float(c)) for p, s, c in zip(*row, strict=True)]
            for row in zip(positions, scores, cosines, strict=True)
        ]

    def save(self, path: str | Path) -> None:
        """Writes ids, vectors and metadata to one `.npz` file, whole or not at all."""
        header = {"format": _FORMAT, "ids": self.ids, "metadata": self.metadata}
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with written_beside(path, "wb") as file:
            np.savez(file, header=text, vectors=self.vectors)

    @classmethod
    def load(cls, path: str | Path) -> "VectorIndex":
        """Reads an index that `save` wrote, equal to the saved one, bit for bit.

        Raises:
            MiteError: If the file is missing, damaged, or not such an index.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "images.npz"
            >>> VectorIndex(["dog"], [[1.0, 0.0]], metadata={"model": "mite"}).save(path)
            >>> VectorIndex.load(path).metadata
            {'model': 'mite'}
        """
        if not Path(path).exists():
            raise MiteError(f"There is no index file {path}.")
        with reading(path, "a readable search index", "Build it again."):
            with Path(path).open("rb") as file, open_arrays(file) as archive:
                header = json.loads(archive["header"].tobytes())
                vectors = archive["vectors"]
            if header["format"] != _FORMAT:
                raise ValueError(f"its format is {header['format']!r}, not {_FORMAT!r}")
            if not all(isinstance(each, str) for each in header["ids"]):
                raise ValueError("its ids are no texts")
            try:
                return cls(header["ids"], vectors, metadata=header["metadata"])
            except MiteError as error:
                raise ValueError(str(error)) from error


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the k largest scores, largest first, equal ones in order of position."""
    if k < len(scores):
        smallest = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > smallest)
        ties = np.flatnonzero(scores == smallest)[: k - len(above)]
        candidates = np.concatenate([above, ties])
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")]
