"""A small collection of pictures and texts, embedded and indexed once for all tests of the page."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mite_tf.collection.index_embeddings import index_embeddings
from mite_tf.export.manifest import read_manifest
from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder, write_shard
from mite_tf.serving import EmbeddingClient

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200)}
# One that a page must not take for its own.
TEXTS = [
    "a red circle",
    "a green square",
    "dogs run",
    '<img src="https://a.example/x">',
    "ein Hund",
]


class Collection(NamedTuple):
    export: object
    embeddings: object
    index: object
    rows: EmbeddedRows


@pytest.fixture(scope="session")
def collection(export, tmp_path_factory):
    """Twelve pictures and five texts; the index knows its export."""
    folder = tmp_path_factory.mktemp("collection")
    random = np.random.default_rng(0)
    paths = []
    for name, colour in COLOURS.items():
        for number in range(4):
            pixels = np.clip(random.normal(colour, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            paths.append(folder / f"{name} & {number}.png")
            Image.fromarray(pixels).save(paths[-1])
    with EmbeddingClient.local(export.path) as client:
        vectors = np.concatenate([client.embed_images(paths), client.embed_text(TEXTS)])
    count = len(paths)
    rows = EmbeddedRows(
        [path.name for path in paths] + [f"texts:{number}" for number in range(len(TEXTS))],
        ["image"] * count + ["text"] * len(TEXTS),
        [str(path) for path in paths] + [None] * len(TEXTS),
        [None] * count + TEXTS,
        vectors,
    )
    embeddings, space = folder / "embeddings", read_manifest(export.path).space
    embeddings.mkdir()
    write_shard(embeddings / "part-00000.parquet", rows, space=space)
    EmbeddingFolder(
        path=embeddings, space=space, dimension=16, dtype="float32", model="random 1",
        shards={"part-00000.parquet": len(rows.ids)},
    ).write()  # fmt: skip
    index = folder / "index"
    index_embeddings(embeddings, index, kind="flat", export=export.path, quiet=True)
    return Collection(export.path, embeddings, index, rows)


@contextmanager
def shown(*arguments):
    """Runs `mite ui` on a free port, and gives the address that it prints."""
    command = [sys.executable, "-m", "mite_tf.cli", "ui", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"The page is at (\S+) until Ctrl-C\.\n", line)
            assert found, process.communicate(timeout=60)
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in told) == (0, False), told


@pytest.fixture(scope="session")
def page(collection):
    """The address of the page of that index."""
    with shown(collection.index) as url:
        yield url
