"""Builds each kind of index for many vectors, and prints what it takes and what it finds.

    python -m tests.benchmarks.index_sizes EMBEDDINGS --rows 1000000 --kinds hnsw,ivfpq

The vectors have the statistics of real ones, which `mite embed` has written: each is a real picture
plus a part of the difference of two others, scaled to length 1. So they lie where real ones lie and
scatter along the same directions, and none is twice. Queries are such pictures and texts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.segment_files import by_modality
from tests.benchmarks.timing import seconds_in_turn

SCATTER, TEXTS, BATCH = 0.5, 2000, 256
KINDS = ("flat", "flat-float16", "flat-int8", "flat-binary", "hnsw", "hnsw-int8", "ivfpq")


class Resampled(EmbeddingFolder):
    """As many rows as wanted, around those of a folder."""

    def grown(self, count: int) -> Resampled:
        return replace(self, shards={"image": count, "text": TEXTS})

    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        real = {kind: ([], [], []) for kind in ("image", "text")}
        for rows in EmbeddingFolder.read(self.path).rows():
            for kind, part in by_modality(rows):
                none = np.zeros(len(part.ids), np.float32)
                for kept, column in zip(real[kind], part[4:], strict=True):
                    kept.append(none if column is None else column)
        random = np.random.default_rng(0)
        for kind, parts in real.items():
            vectors, *biases = map(np.concatenate, parts)
            for start in range(0, self.shards[kind], most):
                count = min(most, self.shards[kind] - start)
                one, other, third = random.integers(len(vectors), size=(3, count))
                made = vectors[one] + SCATTER * (vectors[other] - vectors[third])
                made /= np.linalg.norm(made, axis=1, keepdims=True)
                ids = [f"{kind} {start + at}" for at in range(count)]
                yield EmbeddedRows(
                    ids, [kind] * count, ids, ids, made.astype(np.float32),
                    *(bias[one].astype(np.float32) for bias in biases),
                )  # fmt: skip


def measure(source: str, rows: int, name: str) -> list[str]:
    kind, _, vectors = name.partition("-")
    folder = Resampled.read(source)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "index"
        start = time.perf_counter()
        index = FaissIndex.create(
            path, folder.grown(rows), kind=kind, vectors=vectors or "float32", quiet=True
        )
        built = time.perf_counter() - start
        [by_image, by_text] = [each for each in index.measurements() if each["rows"] == "image"]
        queries = next(folder.grown(BATCH).rows()).vectors
        start = time.perf_counter()
        index.search(queries, by="image", modality="image")
        batch = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [
        f"{rows:,}", name, f"{built:.0f}", f"{by_image['searched_mb']:,.0f}", f"{peak:.1f}",
        f"{by_image['effort']}", f"{by_image['recall']:.3f}", f"{by_text['recall']:.3f}",
        f"{by_text['p50_ms']:.1f}", f"{by_text['p99_ms']:.1f}", f"{len(queries) / batch:,.0f}",
    ]  # fmt: skip


def floor(source: str, rows: int) -> str:
    """A flat search of one query beside the product of its matrix, which reads it once."""
    folder = Resampled.read(source)
    with tempfile.TemporaryDirectory() as place:
        index = FaissIndex.create(
            Path(place) / "index", folder.grown(rows), kind="flat", quiet=True
        )
        [segment, *_] = [each for each in index.segments if each.facts.modality == "image"]
        matrix = segment.extended(slice(None))
        queries = next(folder.grown(32).rows()).vectors
        extended = np.column_stack([queries, np.zeros((len(queries), 2), np.float32)])
        seconds = seconds_in_turn(
            {
                "search": lambda at: index.search(queries[[at]], by="text", modality="image"),
                "product": lambda at: matrix @ extended[at],
            },
            20,
            warm_up=3,
        )
    search, product = (1000 * min(seconds[name]) for name in ("search", "product"))
    size = matrix.nbytes / 1e6
    return (
        f"flat, {rows:,} rows, {size:.0f} MB: {search:.1f} ms a query, {product:.1f} ms the "
        f"product ({size / product:.1f} GB/s): {search / product:.2f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("embeddings")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--floor", action="store_true")
    options = parser.parse_args()
    table = Table(
        "rows", "kind", "build s", "MB", "peak GB", "effort", "recall by image", "by text",
        "p50 ms", "p99 ms", "queries/s",
    )  # fmt: skip
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as one:
        if options.floor:
            print(one.submit(floor, options.embeddings, options.rows[0]).result(), flush=True)
        for rows in options.rows:
            for name in filter(None, options.kinds.split(",")):
                line = one.submit(measure, options.embeddings, rows, name).result()
                print(*line, sep=" | ", flush=True)
                table.add_row(*line)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
