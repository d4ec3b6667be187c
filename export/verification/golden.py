"""Cases with the answers of Keras: JSON and image files that any language can read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.verification.cases import captions, images
from mite_tf.files import write_text

if TYPE_CHECKING:
    from mite_tf.encoders import Encoders

FOLDER = "verification"
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Golden:
    """Inputs, and what Keras made of them at export."""

    captions: list[str]
    token_ids: np.ndarray  # int32 `[N, L]`, padded with 0
    caption_embeddings: np.ndarray  # float32 `[N, D]`
    files: list[Path]  # none for encoders that start at features
    features: np.ndarray | None  # float32 `[M, ...]`; None for encoders that take files
    image_embeddings: np.ndarray  # float32 `[M, D]`, of the files or features


def write_golden(folder: str | Path, encoders: Encoders) -> None:
    """Writes the cases and what the encoders make of them, into `verification`."""
    folder = Path(folder) / FOLDER
    folder.mkdir()
    texts = captions(encoders.tokenizer.max_length)
    ids = encoders.tokenizer.table(list(texts.values())).ids
    rows = zip(texts.items(), ids, encoders.embed_ids(ids), strict=True)
    _write(
        folder / "captions.json",
        [
            {
                "name": name,
                "text": text,
                "token_ids": row[row > 0].tolist(),
                "embedding": _shortest(embedding),
            }
            for (name, text), row, embedding in rows
        ],
    )
    if encoders.preprocessing is None:
        shape = (5, *encoders.image_encoder.input_shape[1:])
        features = np.random.default_rng(0).random(shape, np.float32)
        cases = [
            {"features": _shortest(one), "embedding": _shortest(embedding)}
            for one, embedding in zip(features, encoders.embed_features(features), strict=True)
        ]
    else:
        files = [folder / "images" / name for name in images()]
        files[0].parent.mkdir()
        for file, data in zip(files, images().values(), strict=True):
            file.write_bytes(data)
        cases = [
            {"file": f"images/{file.name}", "embedding": _shortest(embedding)}
            for file, embedding in zip(files, encoders.embed_images(files), strict=True)
        ]
    _write(folder / "images.json", cases)


def read_golden(folder: str | Path) -> Golden:
    """Reads what `write_golden` wrote."""
    folder = Path(folder) / FOLDER
    try:
        texts, pictures = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("captions", "images")
        )
        longest = max(len(case["token_ids"]) for case in texts)
        padded = [case["token_ids"] + [0] * (longest - len(case["token_ids"])) for case in texts]
        from_files = "file" in pictures[0]
        features = [] if from_files else [case["features"] for case in pictures]
        return Golden(
            captions=[str(case["text"]) for case in texts],
            token_ids=np.array(padded, np.int32),
            caption_embeddings=np.array([case["embedding"] for case in texts], np.float32),
            files=[folder / "images" / Path(case["file"]).name for case in pictures if from_files],
            features=None if from_files else np.array(features, np.float32),
            image_embeddings=np.array([case["embedding"] for case in pictures], np.float32),
        )
    except _UNREADABLE as error:
        raise MiteError(f"{folder}: the cases cannot be read: {error!r}") from error


def _write(path: Path, cases: list[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    write_text(path, f"[\n{lines}\n]\n")


def _shortest(values: np.ndarray) -> Any:
    """Nested lists of the shortest decimals that are read back as the same float32."""
    if values.ndim > 1:
        return [_shortest(row) for row in values]
    return [float(str(value)) for value in values]
