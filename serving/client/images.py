"""Images of any kind to rows.

Files and `bytes` are sent as they are: the server decodes them as training did. So are arrays of
uint8 and PIL images, as PNG, which loses nothing: images of any size then share a request, and a
photograph takes about half of what its pixels take. Arrays of floating point, which PNG cannot
hold, go to the signature `pixels`.

A rotation in EXIF is not applied and transparency is dropped, as in training.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.rows import Kind, Row

_FILE = Kind("serving_default", "image_bytes")
# Modes that Pillow converts to RGB by way of another only.
_STRAIGHT = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
# Lossless at any level; this one takes a fifth of the time for a tenth more bytes.
_COMPRESSION = 1


def image_rows(images: Sequence[Any]) -> Iterator[Row]:
    """Yields images as they are sent.

    Args:
        images: Paths, `bytes` of files, arrays `[H, W, 3]` of uint8 or floats in 0-255, RGB, or
            PIL images, mixed as they come.

    Raises:
        MiteError: If one cannot be read or is none of these; named by index and path.

    Example:
        >>> [row] = image_rows([np.zeros((2, 2, 3), np.float32)])
        >>> row.label, row.kind.signature
        ('images[0]', 'pixels')
    """
    for index, image in enumerate(images):
        label = f"images[{index}]"
        if isinstance(image, str | os.PathLike):
            yield _file(f"{label} ({os.fspath(image)})", Path(image))
        elif isinstance(image, bytes | bytearray | memoryview):
            yield _encoded(label, bytes(image))
        elif isinstance(image, np.ndarray):
            yield _array(label, image)
        elif _is_pillow(image):
            yield _encoded(label, _png(label, image))
        else:
            raise MiteError(
                f"{label} is of type {type(image).__name__}; expected a path, bytes of an image "
                "file, an array [H, W, 3] or a PIL image."
            )


def _file(label: str, path: Path) -> Row:
    try:
        return _encoded(label, path.read_bytes())
    except OSError as error:
        raise MiteError(f"{label} cannot be read: {error.strerror}.") from error


def _encoded(label: str, data: bytes) -> Row:
    if not data:
        raise MiteError(f"{label} is empty: 0 bytes.")
    return Row(label, _FILE, data)


def _array(label: str, array: np.ndarray) -> Row:
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise MiteError(
            f"{label} is an array of shape {list(array.shape)}; expected [H, W, 3], RGB."
        )
    if array.dtype == np.uint8:
        return _encoded(label, _png(label, _pillow(label).fromarray(np.ascontiguousarray(array))))
    if array.dtype.kind != "f":
        raise MiteError(
            f"{label} is an array of {array.dtype}; expected uint8, or floats in 0-255."
        )
    lowest, highest = float(array.min()), float(array.max())
    if not (lowest >= 0 and highest <= 255):  # catches NaN too
        raise MiteError(f"{label} has values from {lowest:g} to {highest:g}; expected 0 to 255.")
    if 0 < highest <= 1:
        raise MiteError(
            f"{label} has values from {lowest:g} to {highest:g}, so it seems scaled to 0-1. "
            "Expected 0 to 255: multiply by 255. If it is that dark, pass it as uint8."
        )
    value = np.ascontiguousarray(array, np.float32)
    return Row(label, Kind("pixels", "pixels", value.shape), value)


def _png(label: str, image: Any) -> bytes:
    mode = image.mode
    if mode in ("I", "F"):
        raise MiteError(
            f"{label} is a PIL image of mode {mode}, whose range is open. Pass an array [H, W, 3] "
            "of uint8, or of floats in 0-255."
        )
    try:
        if mode.startswith("I;16"):  # the high byte, as a decoder of 16 bits gives it
            image = _pillow(label).fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif mode not in ("1", "L", "RGB"):
            image = image.convert(_STRAIGHT.get(mode, mode)).convert("RGB")
        file = io.BytesIO()
        # What came with a picture, such as a colour profile or text, is not part of it.
        image.save(file, "PNG", compress_level=_COMPRESSION, icc_profile=None, exif=b"")
    except (OSError, ValueError, SyntaxError) as error:  # a file that is read only now
        raise MiteError(f"{label} cannot be decoded: {error}") from error
    return file.getvalue()


def _is_pillow(image: Any) -> bool:
    module = sys.modules.get("PIL.Image")  # whoever holds such an image has loaded it
    return module is not None and isinstance(image, module.Image)


def _pillow(label: str) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MiteError(
            f"{label} is an array, which Pillow encodes. Install it with: pip install pillow"
        ) from error
    return Image
