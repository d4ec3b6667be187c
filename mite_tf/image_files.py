"""Image files to pixels with NumPy and Pillow: what the graph decodes and nothing else.

TensorFlow and Pillow disagree on some files. Here its rules are kept, so that one file has one
verdict, in the check, in training, in every export and in every server.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile

from mite_tf.image_headers import (
    BMP_REFUSED,
    CHANNELS,
    MOST_PIXELS,
    Header,
    ImageFileError,
    cut_off,
    explained,
    first_frame,
    header_of,
    jpeg_frame,
    kind_of,
)
from mite_tf.orientation import MOST_STEPS

# A progressive JPEG has ten scans, each of which may change all of its pixels; the chunks of a PNG
# hold some thousand bytes each.
_MOST_SCANS, _MOST_CHUNKS = 100, 1 << 16
_STRIP = 1 << 20  # bytes of pixels that are converted at a time
BMP_MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)  # blue, green, red and alpha in this order
_IEND = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))  # the last chunk of a PNG


class Picture(NamedTuple):
    """A decoded image, whose pixels are converted to RGB some rows at a time.

    `rows(first, last)` gives uint8 `[last - first, width, 3]`.
    """

    height: int
    width: int
    rows: Callable[[int, int], np.ndarray]


def decode(data: bytes, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file as the graph does, not yet turned upright.

    Returns:
        uint8 `[H, W, 3]`, RGB. Transparency is dropped, and black in a GIF; of 16 bits the high
        byte counts, of an animation the first frame.

    Raises:
        ImageFileError: If TensorFlow does not decode these bytes, or not to what is meant, or if
            the image is larger than a photograph.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(file, "PNG")
        >>> decode(file.getvalue())[0, 0].tolist()
        [255, 0, 0]
    """
    picture = open_picture(data, most_pixels)
    return picture.rows(0, picture.height)


def open_picture(data: bytes, most_pixels: int = MOST_PIXELS) -> Picture:
    """Decodes like `decode`, but leaves the pixels as the decoder has them, which is smaller.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2), 7).save(file, "PNG")
        >>> open_picture(file.getvalue()).rows(1, 2).tolist()
        [[[7, 7, 7], [7, 7, 7], [7, 7, 7]]]
    """
    decoders = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "BMP": _bmp, "WEBP": _webp}
    header_of(data).check(most_pixels)
    return explained(decoders[kind_of(data)], data)


def rgb_of(image: Image.Image, format: str | None = None) -> Image.Image:
    """Converts an opened image to mode RGB, as TensorFlow converts its file.

    A part of an image has lost its `format`.

    Example:
        >>> rgb_of(Image.new("LA", (1, 1), (7, 0))).getpixel((0, 0))
        (7, 7, 7)
    """
    format = format or image.format
    if image.mode.startswith("I;16"):  # which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "CMYK" and format == "JPEG" and "adobe_transform" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every file for one of Adobe's
    elif format == "GIF" and isinstance(clear := image.info.get("transparency"), int):
        indices = np.asarray(image)
        if indices.ndim == 2:
            colours = np.asarray(image.convert("RGB"))
            return Image.fromarray(np.where((indices == clear)[:, :, None], np.uint8(0), colours))
    return image.convert("RGB")


def _opened(data: bytes, format: str) -> ImageFile.ImageFile:
    image = Image.open(io.BytesIO(data), formats=(format,))
    if Header(*image.size).cost > header_of(data)._replace(copies=1).cost:  # nothing is decoded yet
        raise ImageFileError("unreadable-image", "is damaged: it has two sizes")
    return image


def _picture(image: ImageFile.ImageFile, format: str) -> Picture:
    """Decodes an opened image; what the decoder holds besides is freed."""
    image.load()
    whole = image.copy() if format == "WEBP" else image
    width, height = whole.size

    def rows(first: int, last: int) -> np.ndarray:
        result = np.empty((last - first, width, 3), np.uint8)
        step = max(1, _STRIP // (3 * width))
        for top in range(first, last, step):
            end = min(top + step, last)
            part = whole.crop((0, top, width, end))
            result[top - first : end - first] = np.asarray(rgb_of(part, format))
        return result

    return Picture(height, width, lambda first, last: explained(rows, first, last))


def _jpeg(data: bytes) -> Picture:
    _, scan = jpeg_frame(data, MOST_STEPS)
    end = data.rfind(b"\xff\xd9")
    if end < scan:  # Pillow does not look for it
        raise cut_off()
    if data.count(b"\xff\xda", scan, data.find(b"\xff\xd9", scan)) > _MOST_SCANS:
        raise ImageFileError("unsupported-type", f"is a JPEG of more than {_MOST_SCANS} scans")
    # Pillow would look for a resolution in EXIF, and warn of damage there.
    return _picture(_opened(data.replace(b"Exif\0\0", b"none\0\0", 8), "JPEG"), "JPEG")


def _webp(data: bytes) -> Picture:
    if len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise cut_off()
    with _opened(data, "WEBP") as image:
        return _picture(image, "WEBP")


def _png(data: bytes) -> Picture:
    """Decodes the chunks that pixels hang on; Pillow neither checks them all nor forgives others.

    TensorFlow wants the checksums of these chunks right, the compressed stream that is whole, and
    the last chunk. Other chunks may be broken, and are not even looked into.
    """
    width, height, bits, colour, *_, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    view, place = memoryview(data), 8
    names: list[bytes] = []
    kept: list[memoryview] = []
    packed: list[memoryview] = []
    for _ in range(_MOST_CHUNKS):
        size, name = struct.unpack(">I4s", data[place : place + 8].ljust(8, b"\0"))
        end = place + 12 + size
        if end > len(data):
            raise cut_off()
        if name[0] & 0x20 == 0:  # upper case: critical
            wanted = int.from_bytes(data[end - 4 : end], "big")
            if zlib.crc32(view[place + 4 : end - 4]) != wanted:
                raise ImageFileError(
                    "unreadable-image", f"is damaged: the checksum of {name!r} is wrong"
                )
            if name not in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
                raise ImageFileError("unsupported-type", f"is a PNG with an unknown part {name!r}")
            if name == b"IDAT":
                packed.append(view[place + 8 : end - 4])
            elif name == b"IEND":
                break
            elif not packed:
                kept.append(view[place:end])
            names.append(name)
        place = end
    else:
        raise ImageFileError("unsupported-type", f"is a PNG of more than {_MOST_CHUNKS} parts")
    if names.count(b"IHDR") != 1:
        raise ImageFileError("unreadable-image", "is damaged: it has two headers")
    if colour == 3 and b"PLTE" not in names[: names.index(b"IDAT")]:
        raise ImageFileError("unreadable-image", "is damaged: it lacks its palette")
    _check_stream(packed, _png_bytes(width, height, bits * CHANNELS[colour], interlaced))
    stream = b"IDAT" + b"".join(packed)
    length, checksum = (struct.pack(">I", each) for each in (len(stream) - 4, zlib.crc32(stream)))
    head = data[:8] + b"".join(kept)
    return _picture(_opened(b"".join([head, length, stream, checksum, _IEND]), "PNG"), "PNG")


def _check_stream(packed: list[memoryview], needed: int) -> None:
    """Inflates pixels, a megabyte at a time, to see whether the stream holds as many as needed."""
    inflate, found = zlib.decompressobj(), 0
    for part in packed:
        for first in range(0, len(part), 1 << 16):
            rest = bytes(part[first : first + (1 << 16)])
            while rest and found <= needed:
                found += len(inflate.decompress(rest, 1 << 20))
                rest = inflate.unconsumed_tail
    if found < needed or (found == needed and not inflate.eof):
        raise cut_off()


def _png_bytes(width: int, height: int, bits: int, interlaced: int) -> int:
    """Bytes of all lines of a PNG, which begin with the number of their filter."""
    steps = [(0, 0, 1, 1)]
    if interlaced:
        steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2)]  # fmt: skip
    sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in steps]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


def _gif(data: bytes) -> Picture:
    frame = first_frame(data, MOST_STEPS)
    with _opened(data, "GIF") as image:
        indices = np.asarray(image)
    if indices.max() >= len(frame.palette):
        raise ImageFileError("unreadable-image", "is damaged: it has colours beyond its palette")
    palette = frame.palette.copy()
    if frame.transparent is not None and frame.transparent < len(palette):
        palette[frame.transparent] = 0
    height, width = indices.shape
    return Picture(height, width, lambda first, last: palette[indices[first:last]])


def _bmp(data: bytes) -> Picture:
    head = data[:66].ljust(66, b"\0")
    offset, header, width, height = struct.unpack("<IIii", head[10:26])
    bits, compression = struct.unpack("<HI", head[28:34])
    colours = int.from_bytes(head[46:50], "little")
    plain = bits in (8, 24, 32) and compression == 0
    masked = bits == 32 and compression == 3 and head[54:66] == BMP_MASKS
    if not (plain or masked):
        raise ImageFileError("unsupported-type", BMP_REFUSED)
    line = (width * bits + 31) // 32 * 4
    missing = offset + line * abs(height) - len(data)
    if missing > 0:
        raise ImageFileError("truncated-image", f"is truncated: {missing} bytes are missing")
    if missing < 0:
        raise ImageFileError(
            "unreadable-image",
            f"is a BMP with {-missing} bytes too many, which TensorFlow refuses: convert it to PNG",
        )
    lines = np.frombuffer(data, np.uint8, offset=offset).reshape(abs(height), line)
    pixels = lines[:: -1 if height > 0 else 1, : width * bits // 8].reshape(abs(height), width, -1)
    if bits > 8:
        return Picture(abs(height), width, lambda first, last: pixels[first:last, :, 2::-1])
    # Indices, and colours of blue, green, red and nothing; what the palette lacks is black.
    first = 14 + header
    colours = max(0, min(colours or 256, 256, (offset - first) // 4))
    palette = np.zeros((256, 3), np.uint8)
    stored = np.frombuffer(data[first : first + 4 * colours], np.uint8).reshape(-1, 4)
    palette[: len(stored)] = stored[:, 2::-1]
    return Picture(abs(height), width, lambda first, last: palette[pixels[first:last, :, 0]])
