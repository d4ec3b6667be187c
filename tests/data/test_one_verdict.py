"""One file has one verdict: the graph and what does without TensorFlow give the same, or refuse."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mite_tf.data.decode import decode_image
from mite_tf.data.images import naming_bad_images
from mite_tf.errors import MiteError
from mite_tf.image_files import decode

RANDOM = np.random.default_rng(0)
PICTURE = Image.fromarray(RANDOM.integers(0, 256, (6, 8, 3), np.uint8)).resize((40, 24))
PALETTE = RANDOM.integers(0, 256, (256, 4), np.uint8).tobytes()
GREY = b"".join(bytes([each, each, each, 0]) for each in range(256))
MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
GRAPH = tf.function(decode_image, input_signature=[tf.TensorSpec((), tf.string)])


def encoded(kind, image=PICTURE, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bmp(bits, compression=0, *, header=40, between=b"", colours=0, height=4):
    lines = RANDOM.integers(0, 256, (5 * bits + 31) // 32 * 4 * abs(height), np.uint8).tobytes()
    described = struct.pack(
        "<IiiHHIIiiII", header, 5, height, 1, bits, compression, len(lines), 0, 0, colours, 0
    ) + bytes(header - 40)
    start = 14 + len(described) + len(between)
    return (
        b"BM" + struct.pack("<IHHI", start + len(lines), 0, 0, start) + described + between + lines
    )


def gif(*blocks, size=(8, 6), palette=PALETTE[:12], end=b";"):
    flags = 0xF1 if palette else 0
    return b"GIF89a" + struct.pack("<HHBBB", *size, flags, 0, 0) + palette + b"".join(blocks) + end


def frame(left=0, top=0, width=8, height=6, clear=None, palette=b""):
    """A frame of random colours; its codes are cleared so often that they stay 3 bits long."""
    codes = [code for each in RANDOM.integers(0, 4, width * height) for code in (4, int(each))] + [
        5
    ]
    bits = "".join(f"{code:03b}"[::-1] for code in codes)
    data = bytes(int(bits[n : n + 8][::-1], 2) for n in range(0, len(bits), 8))
    parts = (data[n : n + 255] for n in range(0, len(data), 255))
    control = b"" if clear is None else b"!\xf9\4\1\0\0" + bytes([clear, 0])
    box = b"," + struct.pack("<HHHHB", left, top, width, height, 0x81 if palette else 0) + palette
    return control + box + b"\2" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def chunk(name, data, checksum=None):
    checksum = zlib.crc32(name + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(*further, bits=8, colour=2, rows=5, packed=None, interlaced=0, end=True, bad=None):
    sizes = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    steps = [(0, 0, 1, 1)]
    if interlaced:
        steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2)]  # fmt: skip
    lines = b""
    for x, y, dx, dy in steps:
        columns = len(range(x, 6, dx))
        length = (columns * bits * sizes[colour] + 7) // 8
        for _ in range(y, rows if columns else 0, dy):
            lines += b"\0" + RANDOM.integers(0, 256, length, np.uint8).tobytes()
    packed = zlib.compress(lines) if packed is None else packed(zlib.compress(lines))
    header = struct.pack(">IIBBBBB", 6, 5, bits, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *further, chunk(b"IDAT", packed, bad)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + (chunk(b"IEND", b"") if end else b"")


JPEG, CMYK = encoded("JPEG"), encoded("JPEG", PICTURE.convert("CMYK"))
ADOBE = CMYK.index(b"\xff\xee")
WEBP, BMP = encoded("WEBP"), bmp(24)
SAME = {
    **{f"bmp {bits} {height}": bmp(bits, height=height) for bits in (24, 32) for height in (4, -4)},
    "bmp palette": bmp(8, between=PALETTE),
    "bmp palette, top down": bmp(8, between=PALETTE, height=-4),
    "bmp short palette": bmp(8, between=PALETTE[:64], colours=16),
    "bmp no palette": bmp(8),
    "bmp grey": bmp(8, between=GREY),
    "bmp masks": bmp(32, 3, between=MASKS),
    "bmp v5": bmp(32, header=124),
    "gif": gif(frame()),
    "gif trailing": gif(frame()) + b"\r\nxx",
    "gif endless": gif(frame(), end=b""),
    "gif transparent": gif(frame(clear=2)),
    "gif two controls": gif(b"!\xf9\4\1\0\0\1\0", frame(clear=2)),
    "gif comment": gif(b"!\xfe\2hi\0", frame()),
    "gif long comment": gif(b"!\xfe" + b"\1x" * 4000 + b"\0", frame()),
    "gif own palette": gif(frame(palette=PALETTE[20:32]), palette=b""),
    "gif larger frame": gif(frame(0, 0, 16, 12)),
    "gif larger second": gif(frame(), frame(0, 0, 16, 12)),
    "gif bad second": gif(frame(), b",bad"),
    "png bad comment": png(chunk(b"tEXt", b"a\0b", 5)),
    "png rows too many": png(rows=7),
    "png palette": png(chunk(b"PLTE", PALETTE[:48]), colour=3),
    **{f"png {bits} {colour} {interlaced}": png(bits=bits, colour=colour, interlaced=interlaced)
       for (bits, colour), interlaced in itertools.product(
           [(1, 0), (4, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6)], (0, 1))},
    "jpeg two": JPEG + JPEG,
    "jpeg trailing": JPEG + b"xx",
    "cmyk": CMYK,
    "cmyk not of adobe": CMYK[:ADOBE] + CMYK[ADOBE + 16 :],
    "webp trailing": WEBP + b"xx",
}  # fmt: skip
REFUSED = {
    "bmp 1": bmp(1, between=PALETTE[:8]),
    "bmp 4": bmp(4, between=PALETTE[:64]),
    "bmp 16": bmp(16),
    "bmp run lengths": bmp(8, 1, between=PALETTE),
    "bmp other masks": bmp(32, 3, between=MASKS[::-1]),
    "bmp os/2": b"BM" + struct.pack("<IHHIIHHHH", 90, 0, 0, 26, 12, 5, 4, 1, 24) + bytes(64),
    "bmp trailing": BMP + b"x",
    "bmp cut": BMP[:-1],
    "gif no palette": gif(frame(), palette=b""),
    "gif small frame": gif(frame(0, 0, 4, 3)),
    "gif frame aside": gif(frame(2, 1)),
    "gif colour beyond": gif(frame(), palette=PALETTE[:6]).replace(b"\xf1\0\0", b"\xf0\0\0", 1),
    "gif stray byte": gif(b"\0", frame()),
    "gif no frame": gif(),
    "gif endless comment": gif(b"!\xfe" + b"\1x" * 5000 + b"\0", frame()),
    "gif 88": b"GIF88a" + gif(frame())[6:],
    "png checksum": png(bad=5),
    "png rows too few": png(rows=3),
    "png stream cut": png(packed=lambda packed: packed[:-4]),
    "png endless": png(end=False),
    "png no palette": png(colour=3),
    "png unknown part": png(chunk(b"ABCD", b"x")),
    "jpeg endless": JPEG[:-2],
    "jpeg ends in zeros": JPEG[:-2] + bytes(100),
    "webp cut": WEBP[:-1],
    "jpeg xl": b"\xff\x0a" + bytes(40),
    "page": b"<!DOCTYPE html>",
    "nothing": b"",
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_pixels(name):
    np.testing.assert_array_equal(GRAPH(tf.constant(SAME[name])), decode(SAME[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_both(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        GRAPH(tf.constant(REFUSED[name]))
    with pytest.raises(MiteError, match=r"^is "):
        decode(REFUSED[name])


def test_a_palette_has_its_colours():
    for image in (PICTURE.quantize(32), PICTURE.convert("L")):
        np.testing.assert_array_equal(decode(encoded("BMP", image)), image.convert("RGB"))


def test_the_bad_image_is_named(tmp_path):
    good, bad, gone = (tmp_path / name for name in ("good.bmp", "bad.bmp", "gone.bmp"))

    def read(path):
        return decode_image(tf.io.read_file(str(path)))

    good.write_bytes(BMP)
    bad.write_bytes(bmp(16))
    for paths, message in (
        ([good, bad], r"bad\.bmp cannot be decoded: it is a BMP of a kind .* convert it to PNG;"),
        ([good, gone], r"gone\.bmp cannot be read: No such file or directory;"),
    ):
        with pytest.raises(MiteError, match=message), naming_bad_images(paths):
            list(map(read, paths))
    with pytest.raises(tf.errors.InvalidArgumentError), naming_bad_images([good]):
        raise tf.errors.InvalidArgumentError(None, None, "of the model")
