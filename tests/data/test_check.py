"""Checking: every kind of problem, from a file that really has it."""

import io
import json
import os
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mite_tf.data import CaptionedImages, CheckReport, Place, Problem, check
from mite_tf.errors import MiteError


def picture(seed: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def animation(format: str) -> bytes:
    return encode(picture(), format, save_all=True, append_images=[picture(1)])


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


def printed(report: CheckReport, shown: int = 20) -> str:
    stream = io.StringIO()
    report.print(Console(file=stream, width=60, color_system=None), shown=shown)
    return stream.getvalue()


JPEG = encode(picture())
PNG = encode(picture(), "PNG")
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
    "cut.gif": (encode(picture(), "GIF")[:-20], "truncated-image", "missing"),
    "cut.webp": (encode(picture(), "WEBP")[:-20], "truncated-image", "missing"),
    "cut.bmp": (encode(picture(), "BMP")[:-20], "truncated-image", "truncated"),
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
    "x.tiff": (encode(picture(), "TIFF"), "unsupported-type", "is TIFF"),
    "named.jpg": (encode(picture(), "ICO"), "unsupported-type", "is ICO"),
    "x.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported-type", "is HEIC"),
    "x.svg": (b"<?xml version='1.0'?><svg></svg>", "unsupported-type", "is SVG"),
    "sixteen.bmp": (bmp(16), "unsupported-type", "8, 24 or 32 bits a pixel"),
    "longer.bmp": (bmp(24) + b"xx", "unreadable-image", "2 bytes too many"),
    "shorter.bmp": (bmp(24)[:-1], "truncated-image", "1 bytes are missing"),
}
ODD = {
    "grey.jpg": (encode(picture().convert("L")), "non-rgb", "greyscale"),
    "cmyk.jpg": (encode(picture().convert("CMYK")), "non-rgb", "CMYK"),
    "alpha.png": (encode(picture().convert("RGBA"), "PNG"), "non-rgb", "transparency"),
    "palette.png": (encode(picture().convert("P"), "PNG"), "non-rgb", "palette"),
    "sixteen.png": (encode(SIXTEEN_BIT, "PNG"), "non-rgb", "16-bit"),
    "palette.bmp": (encode(picture().convert("P"), "BMP"), "non-rgb", "palette"),
    "trailing.gif": (encode(picture(), "GIF") + b"\r\nxx", "non-rgb", "palette"),
    "endless.gif": (encode(picture(), "GIF")[:-1], "non-rgb", "palette"),
}
FINE = {
    "fine.jpg": JPEG,
    "progressive.jpg": encode(picture(), progressive=True),
    "phone.jpg": animation("MPO"),
    "fine.png": PNG,
    "fine.webp": encode(picture(), "WEBP"),
    "fine.bmp": encode(picture(), "BMP"),
    "upper.PNG": encode(picture(1), "PNG"),
    "turned.jpg": encode(picture(), exif=EXIF),
}


@pytest.fixture
def check_files(write):
    """Checks images of which a table, one row each from line 2 on, tells a caption."""

    def check_files(files: dict[str, bytes]) -> CheckReport:
        table = "image,caption\n" + "".join(f"{name},A picture.\n" for name in files)
        return check(write({**files, "captions.csv": table}))

    return check_files


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


def test_the_same_content_in_two_splits_is_a_leak(write, told):
    lines = ["a.jpg,A.,train", "b.jpg,A.,test", "c.jpg,A.,dev", "d.jpg,A.,test", "e.jpg,A.,train"]
    files = {f"{name}.jpg": JPEG for name in "abcd"} | {"e.jpg": encode(picture(5))}
    report = check(write({**files, "c.csv": "\n".join(["image,caption,split", *lines])}))
    assert told(report) == [
        ("content-in-two-splits", "c.csv", 2),
        ("content-in-two-splits", "c.csv", 4),
        ("identical-images", "c.csv", 5),
    ]
    assert "a.jpg (train) has the same content as b.jpg (test)" in report.problems[0].message
    assert report.table.image_ids == ["b.jpg", "d.jpg", "e.jpg"]


def test_problems_of_reading_and_of_images_come_together(write, told):
    lines = b"image,caption\na.jpg,Fine.\na.jpg,Caf\xe9\na.jpg,\nb.jpg,Gone.\n"
    report = check(write({"c.csv": lines, "a.jpg": JPEG}))
    assert told(report) == [
        ("bad-encoding", "c.csv", 3),
        ("empty-caption", "c.csv", 4),
        ("missing-image", "c.csv", 5),
    ]
    assert report.table.captions == ["Fine."]
    assert report.table.problems == ()
    assert told(check(report.table)) == []


def test_tables_from_lists_are_checked_too(write):
    folder = write({"a.png": PNG, "b.png": PNG[:50]})
    table = CaptionedImages.from_lists(["a.png", "b.png"], ["One.", "Two."], root=folder)
    report = check(table)
    assert str(report.errors[0]) == "b.png is truncated: the end of the file is missing"
    assert report.table.image_ids == ["a.png"]


def test_missing_and_small_splits_are_told_with_what_they_lack():
    def judged(**splits: int) -> list[tuple[str, str]]:
        names = [
            (f"{split}{n}.png", split) for split, count in splits.items() for n in range(count)
        ]
        with tempfile.TemporaryDirectory() as folder:
            for seed, (name, _) in enumerate(names):
                picture(seed).save(Path(folder, name))
            images, of = zip(*names, strict=True)
            report = check(CaptionedImages.from_lists(images, images, of, folder), progress=False)
        assert report.errors == ()
        found = [(problem.kind, problem.message) for problem in report.problems]
        return [each for each in found if each[0].endswith("-split")]

    assert judged(train=2, dev=50, test=50) == []
    kinds, messages = zip(*judged(train=1, dev=8, test=2), strict=True)
    assert kinds == ("small-split",) * 3
    assert "1 image: there is no other" in messages[0]
    # A random order has the right one of 8 first in 1 / 8 of all cases, among five in 5 / 8.
    assert "8 images: a random order finds 12 % of them first, 62 % among five" in messages[1]
    assert "probe" not in messages[1]
    assert "50 % of them first, 100 % among five and 100 % among ten" in messages[2]
    assert "the probe, which needs 5, is left out" in messages[2]
    kinds, messages = zip(*judged(train=2, test=50), strict=True)
    assert kinds == ("absent-split",)
    assert "in the split dev: `mite train` refuses" in messages[0]


def test_hashed_splits_are_those_of_what_is_usable(check_files):
    pictures = {f"{n}.png": encode(picture(n), "PNG") for n in range(6)}
    whole = check_files(pictures).table
    [dev] = whole.split("dev").image_ids
    left = check_files({**pictures, dev: b""}).table
    assert set(left.splits) == {"train", "dev", "test"}
    assert dev not in left.image_ids
    assert check(whole.split("train")).table.splits == whole.split("train").splits


def many(count: int) -> dict[str, bytes]:
    return {"fine.jpg": JPEG, **{f"{number}.jpg": b"" for number in range(count)}}


def test_the_refusal_tells_twenty_and_counts_all(check_files):
    with pytest.raises(MiteError) as caught:
        check_files({**many(30), "cut.png": PNG[:-5]}).raise_if_broken()
    lines = str(caught.value).splitlines()
    assert lines[0] == "31 errors in the corpus:"
    assert lines[1].endswith("captions.csv:3: 0.jpg is empty: 0 bytes")
    assert len(lines) == 1 + 20 + 3
    assert lines[-3:] == [
        "  … and 11 more",
        "In all: 30 empty-file, 1 truncated-image.",
        "Mend them, or train without them with skip_bad=True (--skip-bad); that leaves 1 image "
        "with 1 caption.",
    ]


def test_images_that_lie_elsewhere_are_not_called_bad(write):
    report = check(write({"c.csv": "image,caption\na.jpg,A.\nb.jpg,B.\n"}))
    with pytest.raises(MiteError, match=r"No image was found below .*--root") as caught:
        report.raise_if_broken()
    assert "--skip-bad" not in str(caught.value)


def test_the_text_is_whole_lines_with_errors_first(check_files, tmp_path):
    report = check_files({"grey.jpg": ODD["grey.jpg"][0], **many(30)})
    lines = printed(report, shown=2).splitlines()
    assert f"{tmp_path / 'captions.csv'}:4: 0.jpg is empty: 0 bytes" in lines
    assert "… and 32 more" in lines  # the splits of one image among them
    assert any("empty-file" in line and "30" in line for line in lines)


def test_nothing_in_a_file_can_disturb_the_terminal(write):
    line = "a\x1b[31m.jpg,[bold]:dog: \x1b[0m\n"
    text = printed(check(write({"c.csv": f"image,caption\n{line}{line}"})))
    assert "\x1b" not in text
    assert "[bold]:dog:" in text


def test_the_json_says_it_all(check_files, tmp_path):
    report = check_files({"fine.jpg": JPEG, "cut.png": PNG[:-5]})
    document = json.loads(report.to_json())
    assert document["usable"] == {"images": 1, "captions": 1, "splits": report.table.splits}
    assert document["fingerprint"] == report.table.fingerprint()
    assert (document["images"], document["counts"]["truncated-image"]) == (2, 1)
    assert document["problems"][:1] == [
        {
            "kind": "truncated-image",
            "severity": "error",
            "file": str(tmp_path / "captions.csv"),
            "line": 3,
            "entry": None,
            "image": "cut.png",
            "message": "cut.png is truncated: the end of the file is missing",
        }
    ]


class TestUnknownWords:
    def check(self, write, captions):
        files = {f"{n}.png": encode(picture(n), "PNG") for n in range(len(captions))}
        lines = [f"{n}.png,{text},{split}" for n, (split, text) in enumerate(captions)]
        return check(write({**files, "captions.csv": "\n".join(["image,caption,split", *lines])}))

    def test_words_of_characters_that_train_lacks(self, write):
        captions = [
            *(("train", "A dog runs."), ("train", "a god"), ("dev", "a gun"), ("dev", "a fox")),
            *(("test", "人 跑"), ("test", "Nor sad")),
        ]
        report = self.check(write, captions)
        assert report.unknown_words == {"dev": 0.25, "test": 0.5}
        found = [problem for problem in report.problems if problem.kind.startswith("unknown")]
        assert [problem.kind for problem in found] == [*["unknown-words"] * 2, "unknown-caption"]
        assert found[0].message.startswith("25% of the words of dev")
        assert found[2].where.line == 6
        assert report.errors == ()
        assert "train lacks: 25.0% of dev, 50.0% of test." in printed(report).replace("\n", " ")
        assert json.loads(report.to_json())["unknown_words"] == report.unknown_words

    def test_they_are_those_of_the_tokenizer(self, write):
        from mite_tf.text import WordPieceTokenizer, learn_vocabulary

        captions = [("train", "A dog runs é 犬"), ("dev", "a ḡod ë 猫 gun🐕 E")]
        tokenizer = WordPieceTokenizer(learn_vocabulary([captions[0][1]]))
        [ids] = tokenizer.table([captions[1][1]]).ids
        assert (ids == 1).sum() == 4  # ḡod, ë, 猫 and 🐕
        assert self.check(write, captions).unknown_words == {"dev": 4 / 7}

    def test_nothing_is_said_without_a_train_split(self, write):
        report = self.check(write, [("dev", "a gun"), ("dev", "犬")])
        assert report.unknown_words == {}
        assert not any(problem.kind.startswith("unknown") for problem in report.problems)


def test_a_problem_is_of_a_known_kind():
    with pytest.raises(MiteError, match="Unknown kind of problem 'odd'"):
        Problem("odd", "x", Place("a.csv", 1))


@pytest.mark.flickr8k
def test_flickr8k_has_no_errors():
    folder = os.environ.get("MITE_FLICKR8K")
    if folder is None or not Path(folder).is_dir():
        pytest.skip("needs the Flickr8k corpus: set MITE_FLICKR8K to its folder")
    report = check(folder, progress=False)
    assert report.errors == ()
    assert len(report.table.captions) == 5 * len(report.table) == 5 * report.images
    expected = {"duplicate-caption", "identical-images", "unlisted-images", "absent-split"}
    assert set(report.counts) <= expected
    assert {"train", "dev"} <= set(report.table.splits)
