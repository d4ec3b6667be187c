"""Images of any kind become what training would have seen of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from mite_tf.errors import MiteError
from mite_tf.export.pixels import pixels_of
from mite_tf.export.verification.cases import images
from mite_tf.serving.client.rows import image_rows

HOW = {"height": 24, "width": 32, "resize": "bilinear", "value_range": [0.0, 255.0],
       "orientation": "exif"}  # fmt: skip
CASES = images()
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (40, 30, 3), np.uint8)


def only(image):
    [row] = image_rows([image])
    return row


def decoded(row):
    return np.asarray(Image.open(io.BytesIO(row.value)))


def test_files_go_as_they_are(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(CASES["photo.jpg"])
    for image in (path, str(path), path.read_bytes(), memoryview(path.read_bytes())):
        row = only(image)
        assert row.value == CASES["photo.jpg"]
        assert row.kind.signature == "serving_default"
    assert only(path).label == f"images[0] ({path})"


def test_arrays_of_uint8_lose_nothing():
    row = only(PIXELS)
    assert row.kind.signature == "serving_default"
    np.testing.assert_array_equal(decoded(row), PIXELS)
    np.testing.assert_array_equal(decoded(only(PIXELS[:, ::-1])), PIXELS[:, ::-1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_go_as_pixels(dtype):
    values = (PIXELS + RANDOM.random(PIXELS.shape) * 0).astype(dtype)
    row = only(values)
    assert (row.kind.signature, row.kind.shape) == ("pixels", (40, 30, 3))
    np.testing.assert_array_equal(row.value, PIXELS)
    assert row.value.dtype == np.float32
    assert only(np.zeros((2, 2, 3), dtype)).kind.signature == "pixels"  # black is not scaled


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_pillow_image_is_as_its_file(name):
    """An opened picture and its file give the same pixels, whatever the mode."""
    with Image.open(io.BytesIO(CASES[name])) as image:
        row = only(image)
    np.testing.assert_array_equal(pixels_of(row.value, HOW), pixels_of(CASES[name], HOW))


@pytest.mark.parametrize(
    "steps",
    ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LA La", "RGBA RGBa",
     "LA PA"],
)  # fmt: skip
def test_every_mode_of_pillow(steps):
    image = Image.fromarray(PIXELS)
    for step in steps.split():
        image = image.convert(step)
    straight = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(image.mode, image.mode)
    expected = np.asarray(image.convert(straight).convert("RGB"))
    found = Image.open(io.BytesIO(only(image).value)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_sixteen_bits_keep_the_high_byte():
    values = np.arange(0, 65536, 97, dtype=np.uint16)[:600].reshape(20, 30)
    row = only(Image.fromarray(values))
    np.testing.assert_array_equal(decoded(row), values >> 8)


def test_of_exif_the_orientation_alone_goes_along():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    image = Image.open(io.BytesIO(file.getvalue()))
    row = only(image)
    assert dict(Image.open(io.BytesIO(row.value)).getexif()) == {0x0112: 6}
    for orientation in ("exif", "ignored"):
        how = {**HOW, "orientation": orientation}
        np.testing.assert_array_equal(pixels_of(row.value, how), pixels_of(file.getvalue(), how))
    turned = only(ImageOps.exif_transpose(image))
    assert not Image.open(io.BytesIO(turned.value)).getexif()
    np.testing.assert_array_equal(decoded(turned), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("missing.jpg", r"images\[1\] \(missing.jpg\) cannot be read: No such file"),
        (".", r"images\[1\] \(\.\) cannot be read: Is a directory"),
        (b"", r"images\[1\] is empty"),
        (3, r"images\[1\] is of type int"),
        (np.zeros((4, 4), np.uint8), r"shape \[4, 4\]; expected \[H, W, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
        (np.zeros((4, 4, 3), np.int64), "array of int64; expected uint8"),
        (np.full((4, 4, 3), 0.5), "multiply by 255"),
        (np.full((4, 4, 3), 256.0), "from 256 to 256; expected 0 to 255"),
        (np.full((4, 4, 3), -1.0), "from -1 to -1"),
        (np.full((4, 4, 3), np.nan), "nan"),
        (Image.new("F", (4, 4)), "mode F, whose range is open"),
        (Image.new("I", (4, 4)), "mode I"),
    ],
)
def test_what_is_no_image_is_told(image, message):
    with pytest.raises(MiteError, match=message):
        list(image_rows([PIXELS, image]))


def test_a_cut_file_opened_by_pillow_is_told():
    image = Image.open(io.BytesIO(CASES["photo.jpg"][:2000]))
    with pytest.raises(MiteError, match=r"images\[0\] cannot be decoded"):
        list(image_rows([image]))
