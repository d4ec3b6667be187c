import base64
import io

import pytest
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.reports.pages import thumbnail_uri


def _open(uri):
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (320, 240)), ((480, 960), (160, 320)), ((40, 30), (40, 30))]
)
def test_the_longest_side_is_at_most_320(tmp_path, size, expected):
    Image.new("RGB", size, "red").save(tmp_path / "image.jpg")
    assert _open(thumbnail_uri(tmp_path / "image.jpg")).size == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / "image.tif" if mode in ("CMYK", "I;16") else tmp_path / "image.png"
    Image.new(mode, (16, 16)).save(path)
    assert _open(thumbnail_uri(path)).mode == "RGB"


def test_transparency_becomes_white(tmp_path):
    Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(tmp_path / "image.png")
    assert min(_open(thumbnail_uri(tmp_path / "image.png")).getpixel((8, 8))) > 250


def test_rotation_by_the_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (100, 50)).save(tmp_path / "image.jpg", exif=exif)
    assert _open(thumbnail_uri(tmp_path / "image.jpg")).size == (50, 100)


def test_files_that_are_not_images_are_named(tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(MiteError, match=r"notes\.jpg cannot be read as an image"):
        thumbnail_uri(tmp_path / "notes.jpg")
    with pytest.raises(MiteError, match=r"absent\.jpg cannot be read as an image"):
        thumbnail_uri(tmp_path / "absent.jpg")


def test_a_truncated_image_is_named(tmp_path):
    path = tmp_path / "half.jpg"
    Image.effect_noise((200, 200), 60).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MiteError, match=r"half\.jpg cannot be read as an image"):
        thumbnail_uri(path)
