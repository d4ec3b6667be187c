"""Picture files that lie: about their size, their colours, their end."""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache

from mite_tf.export.verification import cases
from tests.serving.hostile.messages import mutated, zeros

images = cache(cases.images)  # drawing them takes a second
_MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(
    width: int,
    height: int,
    *further: bytes,
    bits: int = 8,
    colour: int = 2,
    interlaced: int = 0,
    rows: int | None = None,
) -> bytes:
    """A black PNG, of fewer rows than it says if `rows` are given."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = (1 + (width * bits * samples + 7) // 8) * (height if rows is None else rows)
    size += 2 * height * interlaced  # each pass has lines of its own
    packed = zlib_zeros(size)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    chunks = (chunk(b"IHDR", header), *further, chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"".join([_MAGIC, *chunks])


def zlib_zeros(count: int) -> bytes:
    """Zeros as zlib packs them, with their checksum."""
    return b"\x78\x9c" + zeros(count) + struct.pack(">I", count % 65521 << 16 | 1)


@cache
def bombs() -> dict[str, bytes]:
    """Small files that claim much, or are much."""
    text = chunk(b"zTXt", b"a\0\0" + zlib_zeros(80 << 20))
    photo, scans = images()["photo.jpg"], images()["progressive.jpg"]
    size = photo.index(b"\xff\xc0") + 5
    first, end = scans.index(b"\xff\xda"), scans.rindex(b"\xff\xd9")
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2\x4c\1\0"
    bmp = struct.pack("<IIIiiHHIIIIII", 1 << 31, 0, 54, 60_000, 60_000, 1, 24, *[0] * 6)
    webp = b"VP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2 + images()["photo.webp"][12:]
    return {
        "thread.png": png(31, 1_900_000, bits=1, colour=0),
        "ribbon.png": png(1_900_000, 31, bits=1, colour=0),
        "square.png": png(8000, 8000),
        "laced.png": png(7000, 7000, bits=1, colour=0, interlaced=1),
        "deep.png": png(5000, 5000, bits=16, colour=6),
        "not measured.png": png(13_000, 13_000, text, colour=0),
        "wordy.png": png(9, 9, *[text] * 20),
        "lacks its palette.png": png(9, 9, colour=3),
        "claims.png": png(2**31 - 1, 2**31 - 1, rows=0),
        "claims.gif": gif + frame * 50 + b";",
        "claims.bmp": b"BM" + bmp + bytes(100),
        "claims.webp": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
        "claims.jpg": photo[:size] + struct.pack(">HH", 65_000, 65_000) + photo[size + 4 :],
        "scans.jpg": scans[:first] + scans[first:end] * 500 + scans[end:],
    }


def hostile_picture(choose: random.Random) -> bytes:
    """A file of any format with mutations; half of the PNGs have right checksums again."""
    data = mutated(choose.choice(_small()), choose)
    return _summed(data) if data.startswith(_MAGIC) and choose.random() < 0.5 else data


@cache
def _small() -> list[bytes]:
    return [data for data in images().values() if len(data) < 100_000]


def _summed(data: bytes) -> bytes:
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        [length] = struct.unpack_from(">I", data, place)
        length = min(length, len(data) - place - 12)
        parts.append(chunk(data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts)
