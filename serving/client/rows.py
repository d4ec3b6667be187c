"""Inputs to rows, rows to requests that a server takes, and which row it refuses.

Image files and `bytes` are sent as they are: the server decodes them as training did. Arrays of
uint8 and PIL images go as PNG, which loses nothing: images of any size then share a request, and a
photograph takes about half of what its pixels take. Arrays of floating point, which PNG cannot
hold, go to the signature `pixels`. The orientation in EXIF goes along with a PIL image, so that the
server turns it upright if training did. Transparency is dropped, as in training.
"""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.orientation import exif_orientation
from mite_tf.serving.client.protocol import Embedded, EmbeddingError


# no example: part of a `Row`
class Kind(NamedTuple):
    """Signature, its input, and shape of one row, None for bytes: the same within a request."""

    signature: str
    input: str
    shape: tuple[int, ...] | None = None


# no example: those of `text_rows` and `image_rows` make some
class Row(NamedTuple):
    """One text, image or vector of features, as `bytes` or an array; errors name its label."""

    label: str
    kind: Kind
    value: Any

    @property
    def size(self) -> int:
        """Returns the bytes that the row takes in a message, of which up to 6 tell its length."""
        return self.value.nbytes if isinstance(self.value, np.ndarray) else len(self.value) + 6


_TEXT = Kind("serving_default", "text")
_FILE = Kind("serving_default", "image_bytes")
# Modes that Pillow converts to RGB by way of another only.
_STRAIGHT = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
# Lossless at any level; this one takes a fifth of the time for a tenth more bytes.
_COMPRESSION = 1
# Times that a refused request is sent: TensorFlow Serving refuses all requests that share a batch
# with another client's undecodable image.
_TRIES = 3
# Names of model, signature and input, shape, and the lengths around them, in bytes.
_ENVELOPE = 512


def as_list(items: Any, name: str) -> list[Any]:
    """Returns the items of an iterable, called `name` in errors, and refuses one that stands alone.

    Example:
        >>> as_list("a dog", "texts")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: texts is a single str; put it into a list.
    """
    if isinstance(items, np.ndarray) and items.ndim == 3 and name == "images":
        raise MiteError("images is a single array of rank 3; put it into a list.")
    if isinstance(items, str | bytes | bytearray | dict) or not hasattr(items, "__iter__"):
        raise MiteError(f"{name} is a single {type(items).__name__}; put it into a list.")
    return list(items)


def text_rows(texts: Sequence[str]) -> Iterator[Row]:
    """Yields texts in UTF-8, and refuses half of a surrogate pair.

    Example:
        >>> [row.value for row in text_rows(["a", "dog"])]
        [b'a', b'dog']
    """
    for index, text in enumerate(texts):
        label = f"texts[{index}]"
        if not isinstance(text, str):
            raise MiteError(f"{label} is of type {type(text).__name__}; expected str.")
        try:
            yield Row(label, _TEXT, text.encode())
        except UnicodeEncodeError as error:
            raise MiteError(
                f"{label} cannot be written as UTF-8: character {error.start} is "
                f"{text[error.start]!r}, half of a surrogate pair."
            ) from error


def feature_rows(features: Any) -> Iterator[Row]:
    """Yields precomputed features, float32.

    Example:
        >>> [row.kind.shape for row in feature_rows(np.zeros((2, 5)))]
        [(5,), (5,)]
    """
    for index, each in enumerate(features):
        value = np.ascontiguousarray(each, np.float32)
        yield Row(f"features[{index}]", Kind("features", "features", value.shape), value)


def image_rows(images: Sequence[Any]) -> Iterator[Row]:
    """Yields images as they are sent, from all that `EmbeddingClient.embed_images` takes.

    Example:
        >>> [row] = image_rows([np.zeros((2, 2, 3), np.float32)])
        >>> row.label, row.kind.signature
        ('images[0]', 'pixels')
    """
    for index, image in enumerate(images):
        label = f"images[{index}]"
        if isinstance(image, str | os.PathLike):
            label = f"{label} ({os.fspath(image)})"
            try:
                yield _encoded(label, Path(image).read_bytes())
            except OSError as error:
                raise MiteError(f"{label} cannot be read: {error.strerror}.") from error
        elif isinstance(image, bytes | bytearray | memoryview):
            yield _encoded(label, bytes(image))
        elif isinstance(image, np.ndarray):
            yield _array(label, image)
        elif (pil := sys.modules.get("PIL.Image")) and isinstance(image, pil.Image):
            yield _encoded(label, _png(label, image))
        else:
            raise MiteError(
                f"{label} is of type {type(image).__name__}; expected a path, bytes of an image "
                "file, an array [H, W, 3] or a PIL image."
            )


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
    from mite_tf.image_files import rgb_of  # takes Pillow

    mode = image.mode
    if mode in ("I", "F"):
        raise MiteError(
            f"{label} is a PIL image of mode {mode}, whose range is open. Pass an array [H, W, 3] "
            "of uint8, or of floats in 0-255."
        )
    try:
        exif = _exif(image)
        if mode.startswith("I;16"):  # the high byte, as a decoder of 16 bits gives it
            image = _pillow(label).fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if mode in _STRAIGHT:
            image = image.convert(_STRAIGHT[mode])
        if image.mode not in ("1", "L", "RGB") or image.format == "GIF":
            image = rgb_of(image)
        file = io.BytesIO()
        # What else came with a picture, such as a colour profile or text, is not part of it.
        image.save(file, "PNG", compress_level=_COMPRESSION, icc_profile=None, exif=exif)
    except (OSError, ValueError, SyntaxError) as error:  # a file that is read only now
        raise MiteError(f"{label} cannot be decoded: {error}") from error
    return file.getvalue()


def _exif(image: Any) -> bytes:
    """The orientation of an opened picture alone, as the graph would read it from its file."""
    stored = image.info.get("exif") or b""
    orientation = exif_orientation(stored if isinstance(stored, bytes) else stored.tobytes())
    if orientation == 1:
        return b""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _pillow(label: str) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MiteError(
            f"{label} is an array, which Pillow encodes. Install it with: pip install pillow"
        ) from error
    return Image


class Chunk(NamedTuple):
    """Rows of one request, all of one kind; the first is row `start` of the whole call.

    Example:
        >>> Chunk(0, list(text_rows(["a", "b"]))).values
        [b'a', b'b']
    """

    start: int
    rows: list[Row]

    @property
    def values(self) -> Any:
        """Returns a list of `bytes`, or an array with the rows along its first axis."""
        values = [row.value for row in self.rows]
        return np.stack(values) if isinstance(values[0], np.ndarray) else values


def chunked(rows: Iterable[Row], *, most: int, most_bytes: int) -> Iterator[Chunk]:
    """Puts rows that follow one another into requests of at most so many rows and bytes.

    Example:
        >>> [(each.start, len(each.rows)) for each in
        ...  chunked(text_rows(["a", "b", "c"]), most=2, most_bytes=1024)]
        [(0, 2), (2, 1)]
    """
    chunk, size = Chunk(0, []), _ENVELOPE
    for number, row in enumerate(rows):
        if _ENVELOPE + row.size > most_bytes:
            raise MiteError(
                f"{row.label} takes {row.size} bytes; a request may have {most_bytes}. Give a "
                "smaller one, or raise max_message_bytes if the server takes larger requests."
            )
        full = len(chunk.rows) == most or size + row.size > most_bytes
        if chunk.rows and (full or chunk.rows[0].kind != row.kind):
            yield chunk
            chunk, size = Chunk(number, []), _ENVELOPE
        chunk.rows.append(row)
        size += row.size
    if chunk.rows:
        yield chunk


async def embed_chunk(chunk: Chunk, ask: Callable[[Chunk], Awaitable[Embedded]]) -> Embedded:
    """Embeds the rows of one request; if they are refused again and again, finds out which row.

    Raises:
        EmbeddingError: If the request fails for good.

    Example:
        >>> import asyncio
        >>> async def ask(part):
        ...     if b"bad" in part.values:
        ...         raise EmbeddingError("refused", code="INVALID_ARGUMENT")
        >>> asyncio.run(embed_chunk(Chunk(0, list(text_rows(["a", "bad", "c"]))), ask))
        Traceback (most recent call last):
        mite_tf.serving.client.protocol.EmbeddingError: texts[1]: refused
    """
    for _ in range(_TRIES):
        try:
            return await ask(chunk)
        except EmbeddingError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            refusal = error
    raise await _named(chunk, refusal, ask) from refusal


async def _named(
    chunk: Chunk, error: EmbeddingError, ask: Callable[[Chunk], Awaitable[Embedded]]
) -> EmbeddingError:
    """Asks for row after row until one is refused and one taken: servers do not say which it was.

    A name or a version that is wrong is refused with every row, and no row is to blame for it.
    """
    refused, taken = "", len(chunk.rows) == 1
    for number, row in enumerate(chunk.rows):
        try:
            await ask(Chunk(chunk.start + number, [row]))
            taken = True
        except EmbeddingError as refusal:
            if refusal.code != "INVALID_ARGUMENT":
                raise
            if not refused:
                refused, error = row.label, refusal
        if refused and taken:
            return error.retold(f"{refused}: {error}")
    if refused:
        return error.retold(f"{error} Other rows than {refused} are refused, too.")
    return error.retold(f"{error} Each row alone is taken: give a smaller rows_per_request.")
