"""Embeddings in the folders of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.extras import from_extra
from mite_tf.files import written_beside
from mite_tf.retrieval.embedding_files import EmbeddingFolder

# The largest number of rows of a file there, as that tool writes by default.
_ROWS = 1_000_000


class _Pair(NamedTuple):
    """One row of the three files, of which a part may be missing."""

    path: str | None
    image: NDArray[np.float32] | None
    text: str | None
    vector: NDArray[np.float32] | None


def write_clip_retrieval(folder: EmbeddingFolder) -> None:
    """Writes the files that clip-retrieval and autofaiss read into a folder of embeddings.

    `img_emb/img_emb_0.npy` and `text_emb/text_emb_0.npy` hold float16 `[N, D]`, and
    `metadata/metadata_0.parquet` the columns `image_path` and `caption` of the same rows. Of a
    collection of pictures and texts these are the pairs; a fused vector counts as a picture.

    Args:
        folder: A complete folder, of pictures, of texts, or of pictures with texts.

    Raises:
        MissingPackage: If pyarrow is not installed.
        MiteError: If the embeddings cannot be read.
        OSError: If the files cannot be written.
    """
    paired = set()
    for rows in folder.rows():
        paired |= set(rows.modalities)
    both = {"image", "text"} <= paired
    files = -(-sum(1 for _ in _pairs(folder, both)) // _ROWS)
    digits = len(str(files))
    block: list[_Pair] = []
    number = 0
    for pair in _pairs(folder, both):
        block.append(pair)
        if len(block) == _ROWS:
            _write(folder.path, f"{number:0{digits}}", block)
            number, block = number + 1, []
    if block:
        _write(folder.path, f"{number:0{digits}}", block)


def _pairs(folder: EmbeddingFolder, both: bool) -> Iterator[_Pair]:
    picture: _Pair | None = None
    for rows in folder.rows():
        for at, modality in enumerate(rows.modalities):
            path, text, vector = rows.paths[at], rows.texts[at], rows.vectors[at]
            if modality != "text":
                picture = _Pair(path, vector, text, None)
                if not both or modality == "fused":
                    yield picture
            elif not both:
                yield _Pair(None, None, text, vector)
            elif picture is not None:  # texts follow their picture, also into the next batch
                yield picture._replace(text=text, vector=vector)


def _write(folder: Path, number: str, pairs: list[_Pair]) -> None:
    with from_extra("search", "A file of metadata"):
        import pyarrow.parquet
    columns: dict[str, Any] = {}
    for kind, values, name in (
        ("img", [each.image for each in pairs], "image_path"),
        ("text", [each.vector for each in pairs], "caption"),
    ):
        if values[0] is not None:
            with written_beside(folder / f"{kind}_emb" / f"{kind}_emb_{number}.npy", "wb") as file:
                np.save(file, np.array(values, np.float16))
        told = [each.path if kind == "img" else each.text for each in pairs]
        if told[0] is not None:
            columns[name] = pyarrow.array(told, pyarrow.string())
    path = folder / "metadata" / f"metadata_{number}.parquet"
    with written_beside(path, "wb") as file:
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
