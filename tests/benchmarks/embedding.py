"""Times `embed_collection` against its floor: decoding and the network alone, on the same files.

`python -m tests.benchmarks.embedding EXPORT FOLDER [ROUNDS]`, of a folder of some thousand JPEGs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mite_tf.collection import embed_collection
from mite_tf.collection.local import cores
from mite_tf.export.manifest import read_manifest
from mite_tf.export.pixels import pixels_of
from mite_tf.serving.backends import Rows, open_backend

BATCH = 32


def floor(export: str, paths: list[str]) -> float:
    """Pictures a second of one process that decodes and calls the network, and nothing else."""
    how = read_manifest(export).preprocessing
    backend = open_backend(export, "image", threads=1)
    files = [Path(path).read_bytes() for path in paths]
    backend.run(Rows("pixels", np.stack([pixels_of(each, how) for each in files[:BATCH]])))
    began = time.perf_counter()
    for start in range(0, len(files), BATCH):
        pixels = [pixels_of(each, how) for each in files[start : start + BATCH]]
        backend.run(Rows("pixels", np.stack(pixels)))
    return len(files) / (time.perf_counter() - began)


def main(export: str, folder: str, rounds: int = 3) -> None:
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    processes = cores()
    table = Table("floor", "mite embed", "share", title=f"images/s, {processes} processes")
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for _ in range(rounds):
            shares = [paths[number::processes] for number in range(processes)]
            bare = sum(pool.map(floor, [export] * processes, shares))
            with tempfile.TemporaryDirectory() as out:
                made = embed_collection(export, f"{out}/out", images=folder, quiet=True)
            whole = made.pictures_per_second
            table.add_row(f"{bare:.1f}", f"{whole:.1f}", f"{whole / bare:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
