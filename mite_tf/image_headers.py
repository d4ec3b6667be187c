"""What an image file claims to be, read from its first bytes before anything is decoded.

What a picture costs is not what its bytes say: a file of two kilobytes may hold sixty million
pixels. So its size is judged here, for all that decodes without TensorFlow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.orientation import MOST_STEPS

_DECODED = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"}
_TOLD = {".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".tif", ".tiff"}  # found, then refused
IMAGE_SUFFIXES = frozenset(_DECODED | _TOLD)
_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF",
          b"GIF89a": "GIF", b"BM": "BMP", b"RIFF": "WEBP"}  # fmt: skip
# Sizes of the header that tell a BMP's kind; the first 40 bytes are the same in all of these.
BMP_HEADERS = (40, 52, 56, 64, 108, 124)
BMP_REFUSED = (
    "is a BMP of a kind that TensorFlow misreads: only 8, 24 or 32 bits a pixel, uncompressed, "
    "with a Windows header are read; convert it to PNG"
)
GIF_REFUSED = "is a GIF whose first frame does not fill the picture, or damaged: convert it to PNG"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its colour type
# More than the largest cameras give; decoding so many takes 400 MB at most (docs/export.md).
MOST_PIXELS = 64_000_000
# Panoramas are shorter than this, and far less than a hundred times as long as high.
MOST_SIDE, MOST_ASPECT = 32_768, 100
_MOST_STRAY = 1 << 16  # bytes between the segments of a JPEG, which Pillow reads one by one


class ImageFileError(MiteError):
    """An image file that cannot be decoded: its kind, as in `mite_tf.data.Problem`, and a sentence.

    The sentence goes on after the name of the file.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Header(NamedTuple):
    """What the first bytes of an image file claim: its size, and what it costs to decode it.

    `copies` is how many times as much memory as others the decoder takes: 2 for a JPEG of several
    scans, 3 for WebP.

    Example:
        >>> Header(40, 30, copies=3).cost
        3600
    """

    width: int
    height: int
    copies: int = 1

    @property
    def cost(self) -> int:
        """Returns the number of pixels, times the copies."""
        return self.width * self.height * self.copies

    def check(self, most_pixels: int = MOST_PIXELS) -> None:
        """Refuses what is larger than any photograph.

        Raises:
            ImageFileError: If there are more pixels, a side is longer, or one side is more times
                the other than photographs have.
        """
        width, height, size = self.width, self.height, f"{self.width} × {self.height} pixels"
        reason = ""
        if self.cost > most_pixels:
            times = f", each of which counts {self.copies} times in this format"
            reason = f"; at most {most_pixels} are taken{times if self.copies > 1 else ''}"
        elif max(width, height) > MOST_SIDE:
            reason = f"; a side has at most {MOST_SIDE}"
        elif max(width, height) > MOST_ASPECT * min(width, height):
            reason = f"; a side is at most {MOST_ASPECT} times as long as the other"
        if reason:
            raise ImageFileError("gigantic-image", f"has {size}{reason}: make it smaller")


def kind_of(data: bytes) -> str:
    """Returns the format of an image file, by its first bytes.

    Raises:
        ImageFileError: If it is none of those that the graph reads.

    Example:
        >>> kind_of(b"GIF89a")
        'GIF'
    """
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    raise ImageFileError("unreadable-image", "is not a JPEG, PNG, GIF, BMP or WebP file")


def header_of(data: bytes, most_steps: int = MOST_STEPS) -> Header:
    """Reads what an image file claims to be; nothing is decoded.

    Args:
        data: The bytes of the file.
        most_steps: How many parts to go past in search of the size.

    Raises:
        ImageFileError: If there is no size.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2)).save(file, "GIF")
        >>> header_of(file.getvalue())
        Header(width=3, height=2, copies=1)
    """
    headers = {"JPEG": _jpeg_header, "PNG": _png_header, "GIF": _gif_header, "BMP": _bmp_header,
               "WEBP": _webp_header}  # fmt: skip
    found: Header = explained(headers[kind_of(data)], data, most_steps)
    if found.width <= 0 or found.height <= 0:
        size = f"{found.width} x {found.height}"
        raise ImageFileError("unreadable-image", f"is damaged: its size is {size}")
    return found


# no example: the readers of image files call it.
def explained(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function that reads a file; any error of it is one about the file."""
    try:
        return function(*arguments)
    except (ImageFileError, MemoryError):
        raise
    except Exception as error:  # a plug-in of Pillow may raise anything on a damaged file
        text = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            text = "its header cannot be read"
        if "truncated" in text.lower():
            raise cut_off() from error
        raise ImageFileError("unreadable-image", f"is damaged: {text}") from error


def cut_off() -> ImageFileError:
    """Returns the error of a file that ends too early.

    Example:
        >>> cut_off().kind
        'truncated-image'
    """
    return ImageFileError("truncated-image", "is truncated: the end of the file is missing")


def _jpeg_header(data: bytes, most_steps: int) -> Header:
    return jpeg_frame(data, most_steps)[0]


def jpeg_frame(data: bytes, most_steps: int) -> tuple[Header, int]:
    """Walks the segments of a JPEG to its first scan; returns the frame, and where the scan is."""
    frame, colours, progressive, place, stray = None, 0, False, 2, 0
    for _ in range(most_steps):
        found = data.find(b"\xff", place)
        stray += found - place if found >= 0 else len(data)
        marker, length = data[found + 1 : found + 2], data[found + 2 : found + 4]
        if stray > _MOST_STRAY or found < 0 or not marker:
            break
        kind, size = marker[0], int.from_bytes(length, "big")
        if kind in (0, 0xFF):
            place, stray = found + 1, stray + 1
        elif 0xD0 <= kind <= 0xD9:  # without contents
            place = found + 2
        elif kind < 0xC0 or kind == 0xC8 or 0xF0 <= kind < 0xFE:  # no decoder knows these
            break
        elif kind == 0xDA:
            if frame is None:
                break
            several = progressive or data[found + 4 : found + 5] != bytes([colours])
            return frame._replace(copies=1 + several), found
        else:
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xCC):
                height, width, colours = struct.unpack(">HHB", data[found + 5 : found + 10])
                frame, progressive = Header(width, height), kind & 3 == 2
            place = found + 2 + max(2, size)
    else:
        raise ImageFileError("unsupported-type", f"is a JPEG of more than {most_steps} parts")
    if place >= len(data):
        raise cut_off()
    raise ImageFileError("unreadable-image", "is damaged: no pixels follow its header")


def _webp_header(data: bytes, most_steps: int) -> Header:
    kind, head = data[12:16], data[:30].ljust(30, b"\0")
    width, height = (int.from_bytes(head[n : n + 3], "little") + 1 for n in (24, 27))
    if kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack("<HH", head[26:30]))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind != b"VP8X":
        raise ImageFileError("unreadable-image", "is damaged: its header cannot be read")
    return Header(width, height, copies=3)


def _png_header(data: bytes, most_steps: int) -> Header:
    if len(data) < 33:
        raise cut_off()
    if data[8:16] != b"\0\0\0\x0dIHDR" or data[25] not in CHANNELS:
        raise ImageFileError("unreadable-image", "is damaged: its header cannot be read")
    return Header(*struct.unpack(">II", data[16:24]))


class GifFrame(NamedTuple):
    """The size of a GIF's first frame, its colours, uint8 `[colours, 3]`, and the clear one."""

    header: Header
    palette: np.ndarray
    transparent: int | None


def _gif_header(data: bytes, most_steps: int) -> Header:
    return first_frame(data, most_steps).header


def first_frame(data: bytes, most_steps: int) -> GifFrame:
    """Walks the blocks of a GIF to its first frame, and judges that."""
    refused = ImageFileError("unsupported-type", GIF_REFUSED)
    if len(data) < 13:
        raise cut_off()
    width, height, flags = struct.unpack("<HHB", data[6:11])
    place, palette = _gif_palette(data, 13, flags)
    control: bytes | None = None
    inside = False  # an extension: a head and blocks, the last of which is empty
    for _ in range(most_steps):
        if inside and place < len(data):
            inside, place = data[place] > 0, place + 1 + data[place]
        elif data[place : place + 1] == b"!":
            if data[place + 1 : place + 2] == b"\xf9" and control is None:
                control = data[place + 2 : place + 8]
            inside, place = True, place + 2
        else:
            break
    if place + 10 > len(data):
        raise cut_off()
    mark, left, top, frame_width, frame_height, flags = struct.unpack(
        "<cHHHHB", data[place : place + 10]
    )
    fills = not (left or top) and frame_width >= width and frame_height >= height
    if mark != b"," or not fills:
        raise refused
    _, local = _gif_palette(data, place + 10, flags)
    palette = local if len(local) else palette
    if not len(palette):
        raise ImageFileError("unreadable-image", "is damaged: it lacks its palette")
    clear = control is not None and control[:1] == b"\4" and len(control) > 4 and control[1] & 1
    transparent = control[4] if control and clear else None
    return GifFrame(Header(frame_width, frame_height), palette, transparent)


def _gif_palette(data: bytes, place: int, flags: int) -> tuple[int, np.ndarray]:
    size = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    part = data[place : place + size].ljust(size, b"\0")
    return place + size, np.frombuffer(part, np.uint8).reshape(-1, 3)


def _bmp_header(data: bytes, most_steps: int) -> Header:
    if len(data) < 30:
        raise cut_off()
    if int.from_bytes(data[14:18], "little") not in BMP_HEADERS:
        raise ImageFileError("unsupported-type", BMP_REFUSED)
    width, height = struct.unpack("<ii", data[18:26])
    return Header(width, abs(height))
