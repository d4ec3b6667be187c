"""Kinds of FAISS indices: which to take for so many rows, and how one is built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.files import writing
from mite_tf.progress import Report
from mite_tf.retrieval.index_interface import BY
from mite_tf.retrieval.segment_files import BLOCK, SegmentFacts, StoredRows

# Where a linear search takes longer than a person notices: 100,000 rows of 512 numbers are 200 MB.
_FLAT_UP_TO = 100_000
# Below this a codebook of 256 entries has too little to learn from (FAISS wants 39 rows of each).
_PQ_FROM = 10_000
_NEIGHBOURS, _WIDTH = 32, 100  # of HNSW: links of a node, and candidates for them
# Of a number of a query, where rows have one bit; without, FAISS takes 300 times as long.
_QUERY_BITS = 8
# Of numbers of 8 and 16 bits; between them FAISS reads one by one, a tenth as fast.
_STEP = 16
_FACTORIES = {
    ("flat", "float32"): "Flat",
    ("flat", "float16"): "SQfp16",
    ("flat", "int8"): "SQ8",
    ("flat", "binary"): "RaBitQ",
    ("hnsw", "float32"): f"HNSW{_NEIGHBOURS},Flat",
    ("hnsw", "float16"): f"HNSW{_NEIGHBOURS},SQfp16",
    ("hnsw", "int8"): f"HNSW{_NEIGHBOURS},SQ8",
    ("ivfpq", "float32"): "",
    ("ivfpq", "float16"): "",
}
KINDS = ("auto", "flat", "hnsw", "ivfpq")
TYPES = ("float32", "float16", "int8", "binary")


def kind_for(kind: str, vectors: str, rows: int) -> str:
    """Returns how so many rows are searched, where a kind is wished.

    Raises:
        MiteError: If there is no such kind, or not for such vectors.

    Example:
        >>> kind_for("auto", "float32", 1000), kind_for("auto", "float32", 1_000_000)
        ('flat', 'hnsw')
    """
    if kind not in KINDS:
        raise MiteError(f"Unknown kind {kind!r}; there are {', '.join(KINDS)}.")
    if vectors not in TYPES:
        raise MiteError(f"Unknown vectors {vectors!r}; there are {', '.join(TYPES)}.")
    if kind == "auto":
        return "flat" if vectors == "binary" or rows <= _FLAT_UP_TO else "hnsw"
    if (kind, vectors) not in _FACTORIES:
        fit = ", ".join(name for name in TYPES if (kind, name) in _FACTORIES)
        raise MiteError(f"The kind {kind} takes vectors of {fit}, not {vectors}.")
    return "flat" if kind == "ivfpq" and rows < _PQ_FROM else kind


def build(stored: StoredRows, path: Path, report: Report) -> None:
    """Writes what is searched: with the biases as two more numbers, where they keep their value.

    One bit for a number, and a code for several of them, would blur a bias with the vector. There,
    candidates are found by the cosine alone, and their biases come in when they are compared.
    """
    import faiss

    facts = stored.facts
    dimension = _dimension(facts, stored.dimension)
    index = faiss.index_factory(dimension, _factory(facts, dimension), faiss.METRIC_INNER_PRODUCT)

    def block(rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return resized(stored.extended(rows), dimension)

    if facts.kind == "hnsw":
        index.hnsw.efConstruction = _WIDTH
    if facts.kind == "ivfpq":
        index.do_polysemous_training = False  # orders codes for a search by Hamming distance
    if not index.is_trained:
        most = 64 * getattr(index, "nlist", 1024)
        rows = np.random.default_rng(0).choice(facts.rows, min(most, facts.rows), replace=False)
        index.train(block(np.sort(rows)))
    flat = faiss.downcast_index(getattr(index, "storage", index))
    if hasattr(flat, "codes"):  # room for all at once: growing, it would take up to twice of it
        flat.codes.resize(facts.rows * flat.code_size)
        flat.codes.resize(0)
    for start in range(0, facts.rows, BLOCK):
        index.add(block(slice(start, start + BLOCK)))
        report(min(start + BLOCK, facts.rows), facts.rows)
    with writing(path):
        faiss.write_index(index, str(path))
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def resized(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Returns vectors with as many numbers: the first of them, or zeros behind.

    Example:
        >>> resized(np.ones((1, 2), np.float32), 3).tolist()
        [[1.0, 1.0, 0.0]]
    """
    found = np.zeros((len(vectors), dimension), np.float32)
    count = min(dimension, vectors.shape[1])
    found[:, :count] = vectors[:, :count]
    return found


def parameters(facts: SegmentFacts, looked_at: int, selector: Any) -> Any:
    """Returns how FAISS searches a segment, with so many candidates, among selected rows alone."""
    import faiss

    if facts.kind == "hnsw":
        return faiss.SearchParametersHNSW(sel=selector, efSearch=looked_at)
    if facts.kind == "ivfpq":
        return faiss.SearchParametersIVF(sel=selector, nprobe=max(1, looked_at // 4))
    if facts.vectors == "binary":
        return faiss.RaBitQSearchParameters(sel=selector, qb=_QUERY_BITS)
    return faiss.SearchParameters(sel=selector)


def _dimension(facts: SegmentFacts, dimension: int) -> int:
    if facts.vectors == "binary" or facts.kind == "ivfpq":
        return dimension
    extended = dimension + len(BY)
    if facts.vectors == "float32":
        return extended
    return -(-extended // _STEP) * _STEP


def _factory(facts: SegmentFacts, dimension: int) -> str:
    if facts.kind != "ivfpq":
        return _FACTORIES[facts.kind, facts.vectors]
    # Lists of about half the root of all rows; codes of a byte for each four numbers.
    lists = max(1, int(2 * facts.rows**0.5))
    parts = max(each for each in range(1, max(1, dimension // 4) + 1) if dimension % each == 0)
    return f"IVF{lists},PQ{parts}"
