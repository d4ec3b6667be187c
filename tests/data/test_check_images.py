"""Checking images: each kind of broken, odd and fine file."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from mite_tf.data import CheckReport, check
from tests.data.checking import JPEG, PNG, encoded, picture, printed


def animation(format: str) -> bytes:
    return encoded(picture(), format, save_all=True, append_images=[picture(1)])


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def bmp(bits: int) -> bytes:
    """Four pixels of 16 or 24 bits."""
    lines = bytes(2 * ((2 * bits + 31) // 32 * 4))
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, bits, 0, len(lines), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(lines), 0, 0, 54) + header + lines


AT = PNG.index(b"IDAT") + 20
WRONG_CHECKSUM = PNG[:AT] + bytes([PNG[AT] ^ 1]) + PNG[AT + 1 :]
SIXTEEN_BIT = Image.fromarray(np.arange(48 * 32, dtype=np.uint16).reshape(32, 48) * 40)
EXIF = Image.Exif()
EXIF[0x0112] = 6

BROKEN = {
    "cut.jpg": (JPEG[: len(JPEG) // 2], "truncated-image", "truncated"),
    "cut_header.jpg": (JPEG[:100], "truncated-image", "truncated"),
    "cut.png": (PNG[: len(PNG) // 2], "truncated-image", "end of the file is missing"),
    "cut_a_little.png": (PNG[:-2], "truncated-image", "end of the file is missing"),
    "cut.gif": (encoded(picture(), "GIF")[:-20], "truncated-image", "missing"),
    "cut.webp": (encoded(picture(), "WEBP")[:-20], "truncated-image", "missing"),
    "cut.bmp": (encoded(picture(), "BMP")[:-20], "truncated-image", "truncated"),
    "checksum.png": (WRONG_CHECKSUM, "unreadable-image", "damaged"),
    "header.jpg": (JPEG[:4] + bytes(200), "unreadable-image", "damaged"),
    "empty.jpg": (b"", "empty-file", "0 bytes"),
    "text.jpg": (b"A dog runs.\n", "unreadable-image", "it starts with b'A dog runs."),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "unreadable-image", "an HTML page"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "unreadable-image", "lfs"),
    "bomb.png": (bomb(), "gigantic-image", "60000 × 60000 pixels"),
    "moving.gif": (animation("GIF"), "animated-image", "animated (GIF)"),
    "moving.webp": (animation("WEBP"), "animated-image", "animated (WEBP)"),
    "moving.png": (animation("PNG"), "animated-image", "animated (PNG)"),
    "x.tiff": (encoded(picture(), "TIFF"), "unsupported-type", "is TIFF"),
    "named.jpg": (encoded(picture(), "ICO"), "unsupported-type", "is ICO"),
    "x.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported-type", "is HEIC"),
    "x.svg": (b"<?xml version='1.0'?><svg></svg>", "unsupported-type", "is SVG"),
    "sixteen.bmp": (bmp(16), "unsupported-type", "8, 24 or 32 bits a pixel"),
    "longer.bmp": (bmp(24) + b"xx", "unreadable-image", "2 bytes too many"),
    "shorter.bmp": (bmp(24)[:-1], "truncated-image", "1 bytes are missing"),
}
ODD = {
    "grey.jpg": (encoded(picture().convert("L")), "non-rgb", "greyscale"),
    "cmyk.jpg": (encoded(picture().convert("CMYK")), "non-rgb", "CMYK"),
    "alpha.png": (encoded(picture().convert("RGBA"), "PNG"), "non-rgb", "transparency"),
    "palette.png": (encoded(picture().convert("P"), "PNG"), "non-rgb", "palette"),
    "sixteen.png": (encoded(SIXTEEN_BIT, "PNG"), "non-rgb", "16-bit"),
    "palette.bmp": (encoded(picture().convert("P"), "BMP"), "non-rgb", "palette"),
    "trailing.gif": (encoded(picture(), "GIF") + b"\r\nxx", "non-rgb", "palette"),
    "endless.gif": (encoded(picture(), "GIF")[:-1], "non-rgb", "palette"),
}
FINE = {
    "fine.jpg": JPEG,
    "progressive.jpg": encoded(picture(), progressive=True),
    "phone.jpg": animation("MPO"),
    "fine.png": PNG,
    "fine.webp": encoded(picture(), "WEBP"),
    "fine.bmp": encoded(picture(), "BMP"),
    "upper.PNG": encoded(picture(1), "PNG"),
    "turned.jpg": encoded(picture(), exif=EXIF),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_an_error(check_files, told, name):
    content, kind, message = BROKEN[name]
    report = check_files({"fine.jpg": JPEG, name: content})
    assert told(report) == [(kind, "captions.csv", 3)]
    (problem,) = report.errors
    assert problem.image == name
    assert message in str(problem)
    assert report.table.image_ids == ["fine.jpg"]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_is_a_warning(check_files, told, name):
    content, kind, message = ODD[name]
    report = check_files({"other.jpg": JPEG, name: content})
    assert told(report) == [(kind, "captions.csv", 3)]
    assert (report.errors, report.problems[0].severity) == ((), "warning")
    assert message in report.problems[0].message
    assert report.table.image_ids == ["other.jpg", name]
    report.raise_if_broken()


@pytest.mark.parametrize("name", FINE)
def test_a_fine_image_is_left_in_peace(check_files, told, name):
    report = check_files({name: FINE[name]})
    assert told(report) == []
    assert "No problems in 1 image." in printed(CheckReport(report.table, (), images=1))


def test_training_decodes_what_passes_and_nothing_broken():
    import tensorflow as tf

    from mite_tf.data.images import decode_image

    def decodes(content: bytes) -> bool:
        try:
            decode_image(tf.constant(content))
        except tf.errors.InvalidArgumentError:
            return False
        return True

    # May decode, but not to what is meant.
    stricter = {"moving.gif", "moving.png", "moving.webp"}
    for name, (content, _, _) in BROKEN.items():
        if name != "bomb.png" and name not in stricter:
            assert not decodes(content), name
    for name, content in FINE.items() | {(name, odd[0]) for name, odd in ODD.items()}:
        assert decodes(content), name


def test_a_missing_image_may_be_meant_otherwise(write, told):
    names = ["a.jpg", "b.jpg", "sub\\c.jpg", "none/d.jpg", "nul\0.jpg", "x" * 300 + ".jpg"]
    table = "image,caption\n" + "".join(f"{name},A picture.\n" for name in names)
    report = check(write({"b.JPG": JPEG, "sub/c.jpg": JPEG, "captions.csv": table}))
    assert told(report) == [("missing-image", "captions.csv", line) for line in range(2, 8)]
    messages = [problem.message for problem in report.problems]
    assert "is b.JPG meant?" in messages[1]
    assert "is sub/c.jpg meant?" in messages[2]
    assert len(report.table) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX file system")
def test_links_folders_and_pipes_are_no_images(tmp_path, check_files):
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    lines = "image,caption\nround.jpg,A.\ndangling.jpg,B.\nfolder.jpg,C.\npipe.jpg,D.\n"
    (tmp_path / "captions.csv").write_text(lines)
    report = check(tmp_path)
    kinds = ["symlink-loop", "missing-image", "image-is-directory", "unreadable-image"]
    assert [(problem.kind, problem.where.line) for problem in report.problems] == [
        (kind, line) for line, kind in enumerate(kinds, start=2)
    ]
    assert f"a link to {tmp_path / 'gone.jpg'}" in report.problems[1].message


def test_pillow_neither_warns_nor_keeps_the_settings(check_files):
    limit = Image.MAX_IMAGE_PIXELS
    between = bomb(10_000, 12_000)  # where Pillow warns, but does not yet refuse
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        report = check_files({"between.png": between, "bomb.png": bomb()})
    assert not seen
    assert report.counts == {"gigantic-image": 2}
    assert limit == Image.MAX_IMAGE_PIXELS
