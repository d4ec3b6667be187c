"""What a picture may cost: judged by its header, and bounded whatever its bytes say."""

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mite_tf.image_files import decode
from mite_tf.image_headers import MOST_PIXELS, Header, ImageFileError, header_of

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8))


def encoded(kind, image=NOISE, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, *parts, colour=2, bits=8):
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(parts) + chunk(b"IEND")


def bomb(width, height):
    return png(width, height, chunk(b"IDAT", zlib.compress(bytes(height * (1 + 3 * width)))))


JPEG, PROGRESSIVE = encoded("JPEG"), encoded("JPEG", progressive=True)
FRAME = JPEG.index(b"\xff\xc0") + 5
GIF = encoded("GIF")
BOX = GIF.index(b",", 13 + 768) + 5
FILES = {
    "JPEG": lambda w, h: JPEG[:FRAME] + struct.pack(">HH", h, w) + JPEG[FRAME + 4 :],
    "PNG": bomb,
    "GIF": lambda w, h: GIF[:BOX] + struct.pack("<HH", w, h) + GIF[BOX + 4 :],
    "BMP": lambda w, h: (
        b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, w, -h, 1, 24, 0) + bytes(20)
    ),
    "WEBP": lambda w, h: (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0)
        + (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("size", "reason"),
    [((9000, 9000), "at most 64000000 are taken"), ((33_000, 600), "a side has at most 32768"),
     ((45, 6000), "at most 100 times as long")],
)  # fmt: skip
def test_the_header_is_enough_to_refuse(kind, size, reason):
    data = FILES[kind](*size) if kind != "PNG" else png(*size)
    assert header_of(data)[:2] == size
    with pytest.raises(ImageFileError, match=f"{size[0]} × {size[1]} pixels; .*{reason}") as error:
        decode(data)
    assert error.value.kind == "gigantic-image"


def test_only_the_size_that_was_judged_is_decoded(monkeypatch):
    # As of a header that Pillow reads in another way.
    monkeypatch.setattr("mite_tf.image_files.header_of", lambda data: Header(8, 8))
    with pytest.raises(ImageFileError, match="two sizes"):
        decode(JPEG)


def test_what_a_decoder_holds_several_times_counts_so():
    assert header_of(encoded("WEBP")) == Header(40, 24, 3)
    assert (header_of(JPEG).copies, header_of(PROGRESSIVE).copies) == (1, 2)
    with pytest.raises(ImageFileError, match="each of which counts 2 times"):
        decode(PROGRESSIVE, 40 * 24 * 2 - 1)
    assert decode(PROGRESSIVE, 40 * 24 * 2).shape == (24, 40, 3)
    assert decode(encoded("WEBP", Image.new("RGB", (5, 3)))).shape == (3, 5, 3)
    Header(8000, 8000).check(MOST_PIXELS)
    Header(16_382, 3_500).check()  # a panorama


SCAN = PROGRESSIVE.index(b"\xff\xda")
NEXT = PROGRESSIVE.index(b"\xff", SCAN + 2 + 12)
STREAM = chunk(b"IDAT", zlib.compress(bytes(5 * 16)))
HOSTILE = {
    "scans": (PROGRESSIVE[:-2] + PROGRESSIVE[SCAN:NEXT] * 200 + b"\xff\xd9", "100 scans"),
    "stray bytes": (JPEG[:2] + b"\xff" * 8_000_000 + JPEG[2:], "more than 4096 parts"),
    "junk": (JPEG[:20] + bytes(8_000_000) + JPEG[20:], "damaged"),
    "segments": (JPEG[:2] + b"\xff\xfe\0\2" * 2_000_000 + JPEG[2:], "more than 4096 parts"),
    "chunks": (png(5, 5, chunk(b"teXt") * 600_000, STREAM), "more than 65536 parts"),
    "two headers": (png(5, 5, chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)), STREAM),
                    "two headers"),
    "no palette": (png(5, 5, STREAM, colour=3), "lacks its palette"),
    "no colours": (png(5, 5, STREAM, colour=5), "damaged"),
    "no pixels": (png(5, 0, STREAM), "its size is 5 x 0"),
    "comment first": (b"\x89PNG\r\n\x1a\n" + chunk(b"teXt") + png(5, 5, STREAM)[8:], "damaged"),
    "gif comments": (GIF[:781] + b"!\xfe" + (b"\xff" + b"x" * 255) * 40_000, "is "),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon(name):
    data, reason = HOSTILE[name]
    start = time.process_time()
    with pytest.raises(ImageFileError, match=reason):
        decode(data)
    assert time.process_time() - start < 2


def test_text_inside_of_a_picture_is_never_unpacked():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    data = png(5, 5, profile, text * 20, STREAM)
    tracemalloc.start()
    try:
        assert decode(data).shape == (5, 5, 3)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


_PEAK = """
import sys
from mite_tf.export.pixels import pixels_of
how = {"height": 64, "width": 64, "resize": "bilinear", "value_range": [0.0, 255.0]}
small, large = (open(name, "rb").read() for name in sys.argv[1:])
def peak():
    pixels_of(small, how)
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])
before, small = peak(), large
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak on Linux alone")
def test_a_pixel_takes_five_bytes_while_it_is_decoded(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(encoded("PNG"))
    large.write_bytes(bomb(3000, 3000))
    command = [sys.executable, "-c", _PEAK, str(small), str(large)]
    peak = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert 4 * 3000 * 3000 < peak < 6 * 3000 * 3000


@settings(deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4))),
    end=st.floats(0.1, 1),
)
def test_a_damaged_file_has_one_kind_of_error(kind, changes, end):
    data = bytearray(encoded(kind))
    for place, values in changes:
        place = int(place**3 * len(data))  # most of them in the header
        data[place : place + len(values)] = values
    with suppress(ImageFileError):
        pixels = decode(bytes(data[: int(end * len(data))]))
        assert (pixels.ndim, pixels.dtype) == (3, np.uint8)
