"""Builds each kind of index for many vectors, and prints what it takes and what it finds.

    python -m tests.benchmarks.index_sizes EMBEDDINGS --rows 1000000 --kinds hnsw,ivfpq
    python -m tests.benchmarks.index_sizes EMBEDDINGS --rows 10000000 --kinds ivfpq --stored float16

The vectors have the statistics of real ones, which `mite embed` has written: each is a real picture
plus a part of the difference of two others, scaled to length 1. So they lie where real ones lie and
scatter along the same directions, and none is twice. Queries are such pictures and texts.

Vectors are made in blocks and lie on the disk, under TMPDIR. Each kind is built in a process of its
own, which is stopped where it would take the last of the memory or the disk; others go on. A row is
added to the table of `--out` as soon as it is measured, and is not measured again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.segment_files import by_modality
from tests.benchmarks.timing import seconds_in_turn

SCATTER, TEXTS, BATCH = 0.5, 2000, 256
KINDS = ("flat", "flat-float16", "flat-int8", "flat-binary", "hnsw", "hnsw-int8", "ivfpq")
COLUMNS = (
    "rows", "kind", "build s", "MB", "peak GB", "effort", "recall by image", "by text", "p50 ms",
    "p99 ms", "queries/s",
)  # fmt: skip
LEAST_MEMORY, LEAST_DISK = 1e9, 2e9  # that are left to others
LOOK, TELL = 0.2, 60.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Resampled(EmbeddingFolder):
    """As many rows as wanted, around those of a folder; `making` gets the seconds they took."""

    making: list[float] = field(default_factory=list)

    def grown(self, count: int, dtype: str | None = None) -> Resampled:
        shards = {"image": count, "text": TEXTS}
        return replace(self, shards=shards, dtype=dtype or self.dtype, making=[])

    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        start = time.perf_counter()
        real = {kind: ([], [], []) for kind in ("image", "text")}
        for rows in EmbeddingFolder.read(self.path).rows():
            for kind, part in by_modality(rows):
                none = np.zeros(len(part.ids), np.float32)
                for kept, column in zip(real[kind], part[4:], strict=True):
                    kept.append(none if column is None else column)
        random = np.random.default_rng(0)
        for kind, parts in real.items():
            vectors, *biases = map(np.concatenate, parts)
            for first in range(0, self.shards[kind], most):
                count = min(most, self.shards[kind] - first)
                one, other, third = random.integers(len(vectors), size=(3, count))
                made = vectors[one] + SCATTER * (vectors[other] - vectors[third])
                made /= np.linalg.norm(made, axis=1, keepdims=True)
                ids = [f"{kind} {first + at}" for at in range(count)]
                block = EmbeddedRows(
                    ids, [kind] * count, ids, ids, made.astype(np.float32),
                    *(bias[one].astype(np.float32) for bias in biases),
                )  # fmt: skip
                self.making.append(time.perf_counter() - start)
                yield block
                start = time.perf_counter()


def measure(source: str, path: str, rows: int, name: str, stored: str | None) -> list[str]:
    """Returns the columns of a row but for the peak, which `watched` sees."""
    kind, _, vectors = name.partition("-")
    folder = Resampled.read(source)
    grown = folder.grown(rows, stored)
    start = time.perf_counter()
    index = FaissIndex.create(path, grown, kind=kind, vectors=vectors or "float32")
    built = time.perf_counter() - start - sum(grown.making)
    [by_image, by_text] = [each for each in index.measurements() if each["rows"] == "image"]
    queries = next(folder.grown(BATCH).rows()).vectors
    start = time.perf_counter()
    index.search(queries, by="image", modality="image")
    batch = time.perf_counter() - start
    return [
        f"{built:.0f}", f"{by_image['searched_mb']:,.0f}", f"{by_image['effort']}",
        f"{by_image['recall']:.3f}", f"{by_text['recall']:.3f}", f"{by_text['p50_ms']:.1f}",
        f"{by_text['p99_ms']:.1f}", f"{len(queries) / batch:,.0f}",
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


def answered(to: Connection, call: Any, *arguments: Any) -> None:
    to.send(call(*arguments))


def watched(title: str, place: str, call: Any, *arguments: Any) -> tuple[Any, float]:
    """Calls a function in a new process; returns its result and the most bytes it took at once.

    Pages of files that are mapped are not counted: the system takes them back when it needs room.

    Raises:
        RuntimeError: If the process failed, or was stopped because room was short.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=answered, args=(there, call, *arguments))
    process.start()
    there.close()  # so that the end of the process is the end of the pipe
    start, told, peak = time.perf_counter(), 0.0, 0.0
    try:
        while not here.poll(LOOK):
            taken = memory(f"/proc/{process.pid}/status", "RssAnon:")
            peak = max(peak, taken)
            free, disk = memory("/proc/meminfo", "MemAvailable:"), shutil.disk_usage(place).free
            if free < LEAST_MEMORY or disk < LEAST_DISK:
                short = "memory" if free < LEAST_MEMORY else "room on the disk"
                raise RuntimeError(f"stopped at {taken / 1e9:.1f} GB: no {short} left")
            if (past := time.perf_counter() - start) >= told + TELL:
                told = past
                say(f"{title}: {past / 60:.0f} min, {taken / 1e9:.1f} GB, {disk / 1e9:.0f} GB free")
        return here.recv(), peak
    except EOFError:
        process.join()
        raise RuntimeError(f"failed with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()


def memory(file: str, name: str) -> float:
    """Returns bytes that the kernel tells; 0 of a process that has just ended."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return 0.0
    return next((1024.0 * int(each.split()[1]) for each in lines if each.startswith(name)), 0.0)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("embeddings")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--stored", choices=("float32", "float16"), help="vectors on the disk")
    parser.add_argument("--out", type=Path, default=Path("build/index_sizes.md"), help="the table")
    parser.add_argument("--floor", action="store_true")
    options = parser.parse_args()
    kinds = list(filter(None, options.kinds.split(",")))
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    place = tempfile.gettempdir()
    if options.floor:
        print(watched("floor", place, floor, options.embeddings, options.rows[0])[0], flush=True)
    if not options.out.exists():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        add(options.out, COLUMNS)
        add(options.out, ["---"] * len(COLUMNS))
    for rows in options.rows:
        for name in kinds:
            if f"| {rows:,} | {name} |" in options.out.read_text():
                say(f"{rows:,} {name}: stands in {options.out}")
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/index"
                arguments = (options.embeddings, path, rows, name, options.stored)
                try:
                    line, peak = watched(f"{rows:,} {name}", folder, measure, *arguments)
                except RuntimeError as error:
                    say(f"{rows:,} {name}: {error}")
                    continue
            add(options.out, [f"{rows:,}", name, *line[:2], f"{peak / 1e9:.1f}", *line[2:]])


def add(table: Path, cells: Any) -> None:
    line = f"| {' | '.join(cells)} |"
    with table.open("a") as file:
        file.write(f"{line}\n")
    print(line, flush=True)


if __name__ == "__main__":
    main()
