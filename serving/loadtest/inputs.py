"""What a load test sends: your own inputs, or generated ones."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError

_COUNT = 64  # generated sentences or arrays
_PICTURES = 16  # each takes some milliseconds to draw
_SIZE = 256  # pixels a side
_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


def make_inputs(
    *,
    dtype: str,
    shape: Sequence[int],
    images: bool,
    path: str | Path | None = None,
    count: int | None = None,
) -> list[Any]:
    """Returns inputs for a signature, one row each.

    Args:
        dtype: Type of the signature's input, such as `string` or `float`.
        shape: Its shape without the first axis; -1 for sizes that are free.
        images: Whether the model embeds images.
        path: A text file with a caption a line, an image file, a folder of image files, or an
            export, whose verification cases are taken. By default, captions and pictures of
            rendered scenes; features and token ids are random.
        count: How many are generated (default: 16 pictures, 64 of anything else).

    Returns:
        `bytes` for strings, else arrays of the shape.

    Raises:
        MiteError: If the path holds nothing that fits, or nothing fits the signature.

    Example:
        >>> make_inputs(dtype="string", shape=(), images=False, count=1)[0].decode().isprintable()
        True
    """
    count = count or (_PICTURES if images else _COUNT)
    if dtype == "string":
        if path is not None:
            return _image_files(Path(path)) if images else _captions(Path(path))
        return _pictures(count) if images else _sentences(count)
    if images and len(shape) == 3 and dtype in ("float", "uint8"):
        files = _pictures(count) if path is None else _image_files(Path(path))
        return [_pixels(data, shape, dtype) for data in files]
    if path is not None:
        raise MiteError(f"{path}: files are sent to signatures of strings and pixels alone.")
    random = np.random.default_rng(0)
    sizes = [16 if size < 0 else size for size in shape]
    if dtype == "float":
        return list(random.random((count, *sizes), np.float32))
    if dtype == "int32":  # token ids that every vocabulary has; 0 would be padding
        return list(random.integers(1, 16, (count, *sizes), np.int32))
    raise MiteError(f"No inputs are known for a signature of {dtype} {list(shape)}.")


def _captions(path: Path) -> list[bytes]:
    cases = path / "verification" / "captions.json"
    if cases.is_file():
        texts = [case["text"] for case in json.loads(cases.read_text("utf-8"))]
    elif path.is_file():
        texts = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    else:
        raise MiteError(f"{path}: neither a text file with a caption a line nor an export.")
    if not texts:
        raise MiteError(f"{path}: holds no caption.")
    return [text.encode() for text in texts]


def _image_files(path: Path) -> list[bytes]:
    cases = path / "verification" / "images"
    root = cases if cases.is_dir() else path
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    pictures = [file.read_bytes() for file in files if file.suffix.lower() in _SUFFIXES]
    if not pictures:
        raise MiteError(f"{path}: neither an image file, nor a folder of them, nor an export.")
    return pictures


def _sentences(count: int) -> list[bytes]:
    from mite_tf.scenes import describe, sample_scenes

    random = np.random.default_rng(0)
    return [describe(scene, random)[0].encode() for scene in sample_scenes(count)]


def _pictures(count: int) -> list[bytes]:
    from mite_tf.scenes import draw, sample_scenes

    files = []
    for scene in sample_scenes(count):
        file = io.BytesIO()
        draw(scene, _SIZE).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _pixels(data: bytes, shape: Sequence[int], dtype: str) -> np.ndarray:
    height, width = (_SIZE if size < 0 else size for size in shape[:2])
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)))
    return pixels if dtype == "uint8" else pixels.astype(np.float32)
