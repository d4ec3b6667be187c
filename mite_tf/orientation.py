"""Which way is up in an image file: the orientation in its EXIF, read from the bytes alone.

`mite_tf.data.upright` reads the same inside the graph; a test compares both, and both with Pillow.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

# A walk through more segments or chunks than any camera writes ends, and finds nothing.
MOST_STEPS = 4096
ORIENTATION = 0x0112
# Bytes of one value, by its type in TIFF; 0 where there is no such type.
UNITS = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8)
INTEGERS = (3, 4, 8, 9)  # of 2 or 4 bytes


def orientation_of(data: bytes) -> int:
    """Returns the EXIF orientation of a JPEG, PNG or WebP file, 1 to 8.

    It is 1, which is upright, where there is none, and where EXIF is damaged or says something
    else.

    Example:
        >>> orientation_of(b"GIF89a")
        1
    """
    if data.startswith(b"\xff\xd8\xff"):
        return exif_orientation(_in_jpeg(data))
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return exif_orientation(_in_png(data))
    if data[:4] + data[8:16] == b"RIFFWEBPVP8X" and len(data) > 20 and data[20] & 0x08:
        return exif_orientation(_in_webp(data))
    return 1


def exif_orientation(exif: bytes) -> int:
    r"""Returns the orientation that a block of EXIF tells, 1 to 8; 1 where it tells none.

    As in Pillow, what stands behind a value that reaches beyond the end is lost.

    Example:
        >>> entry = bytes([1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0])
        >>> exif_orientation(b"MM\0*" + bytes([0, 0, 0, 8, 0, 1]) + entry)
        6
    """
    for _ in range(2):
        exif = exif.removeprefix(b"Exif\0\0")
    order: Literal["big", "little"] = "big" if exif.startswith(b"MM") else "little"
    if exif[:2] not in (b"MM", b"II") or exif[2:4] not in (b"\0*", b"*\0"):
        return 1

    def number(place: int, size: int) -> int:
        return int.from_bytes(exif[place : place + size], order)

    first = number(4, 4) + 2
    entries = min(number(first - 2, 2), (len(exif) - first) // 12)
    far = 0  # bytes of all values that do not lie in their entry
    for entry in range(first, first + 12 * entries, 12):
        tag, kind, count = number(entry, 2), number(entry + 2, 2), number(entry + 4, 4)
        unit = UNITS[kind] if kind < len(UNITS) else 0
        place = entry + 8
        if unit * count > 4:
            place = number(place, 4)
            far += unit * count
            if far > len(exif):
                continue
            if place + unit * count > len(exif):
                return 1
        if tag == ORIENTATION and unit * count:
            value = number(place, unit)
            return value if kind in INTEGERS and 1 <= value <= 8 else 1
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns pixels `[H, W, ...]` as an EXIF orientation asks for.

    Example:
        >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
        [[3, 1], [4, 2]]
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    vertical, horizontal = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def _in_jpeg(data: bytes) -> bytes:
    """The first EXIF before the first scan; empty if there is none."""
    place = 2
    for _ in range(MOST_STEPS):
        head = data[place : place + 10].ljust(10, b"\0")
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xE1 and head[0] == 0xFF and length >= 8 and head[4:] == b"Exif\0\0":
            return data[place + 4 : place + 2 + length]
        if head[:2] == b"\xff\xda" or place >= len(data):
            break
        if head[0] != 0xFF or marker in (0, 0xFF):  # stray bytes, which decoders skip
            place += 1
        else:
            place += 2 if 0xD0 <= marker <= 0xD9 else 2 + max(2, length)
    return b""


def _in_png(data: bytes) -> bytes:
    place = 8
    for _ in range(MOST_STEPS):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if name == b"eXIf":
            return data[place + 8 : place + 8 + length]
        if len(name) < 4 or name == b"IEND":
            break
        place += 12 + length
    return b""


def _in_webp(data: bytes) -> bytes:
    place = 12
    for _ in range(MOST_STEPS):
        name = data[place : place + 4]
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if name == b"EXIF":
            return data[place + 8 : place + 8 + length]
        if len(name) < 4:
            break
        place += 8 + length + length % 2
    return b""
