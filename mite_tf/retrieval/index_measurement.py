"""What a search finds of what an exact one finds, and how long it takes: measured when it is made.

Queries are rows of the collection itself, of both modalities, each held out of its own results.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.retrieval.cosine import unit_rows
from mite_tf.retrieval.embedding_files import EmbeddingFolder
from mite_tf.retrieval.faiss_segment import Ranked, Segment
from mite_tf.retrieval.index_interface import BY, CollectionIndex, centred_biases

# Of each modality: recall to about 1 %. Fewer for many rows, each of which is compared with them.
_QUERIES, _FEWEST, _COMPARED = 200, 50, 2_000_000_000
_SECONDS = 10  # of timing queries one by one
_K = 10
# Candidates for ten results that are tried in turn, until the recall of each modality is that good.
_EFFORTS = (16, 32, 64, 128, 256, 512, 1024)
_ENOUGH = 0.97
_SAME = 1e-5  # scores between which the order is one of rounding


class Queries(NamedTuple):
    """Unit vectors `[Q, D]`; where they are rows of the segment, their positions, and else -1."""

    vectors: NDArray[np.float32]
    own: NDArray[np.int64]


def measured(segment: Segment, others: Sequence[Segment], *, corrected: bool) -> Segment:
    """Chooses how hard a new segment is searched, and notes recall and latency.

    Args:
        segment: The segment; it gets its facts from here.
        others: Segments of the same index that lend queries of the other modality.
        corrected: Whether the index has a bank of hub correction.

    Returns:
        The same segment, with its facts completed.
    """
    queries = {
        by: found
        for by in BY
        if (found := _queries(segment, [each for each in others if _by(each) == by], by))
    }
    columns = {by: BY.index(by) if corrected else None for by in BY}
    best = {
        by: _held_out(segment.exactly(each.vectors, columns[by], _K + 1), each.own)
        for by, each in queries.items()
    }
    for effort in _EFFORTS:
        recalls = {
            by: _recall(
                _held_out(segment.search(each.vectors, columns[by], _K + 1, effort), each.own),
                best[by],
            )
            for by, each in queries.items()
        }
        if min(recalls.values(), default=1.0) >= _ENOUGH:
            break
    segment.facts = segment.facts._replace(effort=effort)
    notes = []
    for by, each in queries.items():
        seconds = []
        for vector in each.vectors:
            start = time.perf_counter()
            segment.search(vector[None], columns[by], _K)
            seconds.append(time.perf_counter() - start)
            if sum(seconds) > _SECONDS:
                break
        notes.append(_note(by, len(each.vectors), recalls[by], seconds))
    segment.facts = segment.facts._replace(measured=tuple(notes))
    return segment


def measured_search(index: CollectionIndex, folder: EmbeddingFolder) -> list[Mapping[str, Any]]:
    """Measures an index as a whole against comparing every row of the embeddings that it holds.

    Returns:
        A line for each modality of queries, as of `table`.
    """
    chosen = np.random.default_rng(0).permutation(len(folder))[: 4 * _QUERIES]
    drawn: dict[str, list[tuple[str, NDArray[np.float32]]]] = {by: [] for by in BY}
    start = 0
    for rows in folder.rows():
        for row in np.sort(chosen[(start <= chosen) & (chosen < start + len(rows.ids))]) - start:
            by = "text" if rows.modalities[row] == "text" else "image"
            drawn[by].append((rows.ids[row], rows.vectors[row]))
        start += len(rows.ids)
    notes = []
    for column, by in enumerate(BY):
        ids, vectors = zip(*drawn[by][:_QUERIES], strict=True) if drawn[by] else ((), ())
        if not ids:
            continue
        queries = unit_rows(np.stack(vectors))
        best = np.full((len(ids), _K), -np.inf, np.float32)
        for rows in folder.rows():
            biases = centred_biases(
                len(rows.ids), (rows.image_bias, rows.text_bias), index.facts.centres
            )
            scores = queries @ rows.vectors.T - biases[:, column]
            scores[np.array(ids)[:, None] == np.array(rows.ids)] = -np.inf
            best = -np.sort(-np.hstack([best, scores]), axis=1)[:, :_K]
        found, seconds = np.full_like(best, -np.inf), []
        for at, (name, query) in enumerate(zip(ids, queries, strict=True)):
            begun = time.perf_counter()
            [hits] = index.search(query[None], by=by, k=_K + 1)  # type: ignore[arg-type]
            seconds.append(time.perf_counter() - begun)
            kept = [hit.score for hit in hits if hit.id != name][:_K]
            found[at, : len(kept)] = kept
        notes.append(_note(by, len(ids), _recall(found, best), seconds))
    shared = {"rows": "all", "count": len(index), "kind": index.facts.kind, "vectors": "float32"}
    return [{**shared, "searched_mb": None, "effort": None, **note} for note in notes]


def table(segments: Sequence[Segment]) -> list[Mapping[str, Any]]:
    """Returns what was measured of each segment, a line for each modality of queries."""
    return [
        {
            "rows": segment.facts.modality,
            "count": len(segment),
            "kind": segment.facts.kind,
            "vectors": segment.facts.vectors,
            "searched_mb": round(segment.facts.sizes["search.faiss"] / 1e6, 1),
            "effort": segment.facts.effort,
            **note,
        }
        for segment in segments
        for note in segment.facts.measured
    ]


def _note(by: str, queries: int, recall: float, seconds: list[float]) -> dict[str, Any]:
    p50, p99 = (round(1000 * float(each), 3) for each in np.percentile(seconds, [50, 99]))
    return {"by": by, "queries": queries, "recall": round(recall, 4), "p50_ms": p50, "p99_ms": p99}


def _by(segment: Segment) -> str:
    return "text" if segment.facts.modality == "text" else "image"


def _queries(segment: Segment, others: Sequence[Segment], by: str) -> Queries | None:
    """Draws rows of one modality, of the segment itself where it is of it."""
    sources = [segment] if _by(segment) == by else [each for each in others if len(each)]
    if not sources:
        return None
    source = max(sources, key=len)
    live = np.flatnonzero(source.live)
    count = min(_QUERIES, max(_FEWEST, _COMPARED // max(1, segment.facts.rows)))
    drawn = np.random.default_rng(0).permutation(live)[:count]
    vectors = np.asarray(source.vectors[np.sort(drawn)], np.float32)
    own = np.sort(drawn) if source is segment else np.full(len(drawn), -1)
    return Queries(vectors, own)


def _held_out(ranked: Ranked, own: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the best scores `[Q, k]` without that of the query itself."""
    scores = np.where(ranked.positions == own[:, None], -np.inf, ranked.scores)
    return -np.sort(-scores, axis=1)[:, :_K]


def _recall(found: NDArray[np.float32], best: NDArray[np.float32]) -> float:
    """Returns the share of the best that was found; equal scores are as good as each other."""
    there = np.isfinite(best)
    least = np.where(there, best, np.inf).min(axis=1, keepdims=True)
    hits = ((found >= least - _SAME) & np.isfinite(found)).sum()
    return float(min(1.0, hits / max(1, there.sum())))
