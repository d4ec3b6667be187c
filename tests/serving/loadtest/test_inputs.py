"""What is sent."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.requests import _make_inputs


def strings(**options):
    return _make_inputs(**{"dtype": "string", "shape": (), "images": False, **options})


def test_generated_inputs_differ_and_stay_the_same():
    captions = strings()
    assert len(set(captions)) > 50
    assert captions == strings()
    pictures = strings(images=True)
    assert len(set(pictures)) == 16
    assert {Image.open(io.BytesIO(data)).size for data in pictures} == {(256, 256)}


def test_own_captions_are_sent_line_by_line(tmp_path):
    (tmp_path / "a.txt").write_text("ein Hund\n\n  \n犬\n", "utf-8")
    assert strings(path=tmp_path / "a.txt") == [b"ein Hund", "犬".encode()]


def test_own_images_are_sent_as_they_are(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    Image.new("RGB", (3, 3)).save(folder / "b.png")
    (tmp_path / "a.JPG").write_bytes(b"as it is")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._a.JPG").write_bytes(b"of macOS")
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "c.png").write_bytes(b"thrown away")
    (tmp_path / "folder.png").mkdir()
    assert strings(images=True, path=tmp_path) == [b"as it is", (folder / "b.png").read_bytes()]
    assert strings(images=True, path=tmp_path / "a.JPG") == [b"as it is"]


def test_arrays_have_the_shape_of_the_signature():
    pixels = _make_inputs(dtype="uint8", shape=(4, -1, 3), images=True)[0]
    assert (pixels.shape, pixels.dtype) == ((4, 256, 3), np.uint8)
    features = _make_inputs(dtype="float", shape=(7, 5), images=False)
    assert {(f.shape, f.dtype.name) for f in features} == {((7, 5), "float32")}
    ids = _make_inputs(dtype="int32", shape=(-1,), images=False)
    assert ids[0].dtype == np.int32
    assert min(each.min() for each in ids) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"path": "empty.txt"}, r"empty\.txt: holds no caption"),
        ({"path": "missing.txt"}, "no file"),
        ({"images": True, "path": "."}, "neither an image file"),
        ({"dtype": "int32", "path": "empty.txt"}, "takes int32; files are sent as strings"),
        ({"dtype": "complex64", "shape": (3,)}, r"complex64 \[3\]"),
    ],
)
def test_what_cannot_be_sent_is_refused(tmp_path, monkeypatch, wrong, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n")
    with pytest.raises(MiteError, match=message):
        strings(**wrong)
