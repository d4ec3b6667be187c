"""Which way is up: the graph, the same without TensorFlow, and Pillow agree."""

import io
import itertools
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mite_tf.data.batches import PairBatches, pixel_batches
from mite_tf.data.decode import decode_image
from mite_tf.data.images import Preprocessing, augment, preprocess
from mite_tf.data.upright import orientation_of as in_graph
from mite_tf.image_files import decode
from mite_tf.orientation import orientation_of, upright

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
KINDS = ("JPEG", "PNG", "WEBP")
DECODE = tf.function(decode_image, input_signature=[tf.TensorSpec((), tf.string)])
IN_GRAPH = tf.function(in_graph, input_signature=[tf.TensorSpec((), tf.string)])


def exif(orientation, order=">", kind=3, count=1):
    """EXIF with a make before the orientation, whose text lies behind all entries."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    value = struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *[orientation, 0][: 4 - kind + 1])
    entries = struct.pack(f"{order}HHII", 0x010F, 2, 10, 38)
    entries += struct.pack(f"{order}HHI", 0x0112, kind, count) + value
    return mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4) + b"A  camera\0"


def encoded(kind, exif=b""):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(
        file, kind, lossless=True, exif=b"Exif\0\0" + exif if exif else b""
    )
    return file.getvalue()


def pillow(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage
        with Image.open(io.BytesIO(data)) as image:
            try:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            except (SyntaxError, struct.error):  # in the head of EXIF: it stays as it lies
                return np.asarray(image.convert("RGB"))


def all_agree(data):
    expected = pillow(data)
    np.testing.assert_array_equal(DECODE(tf.constant(data)), expected)
    np.testing.assert_array_equal(upright(decode(data), orientation_of(data)), expected)


@pytest.mark.parametrize("file", KINDS)
def test_all_eight_values_in_both_orders_and_what_is_none(file):
    all_agree(encoded(file))
    shapes = set()
    for value, order, kind in itertools.product([*range(10), 65535], "<>", (3, 4)):
        data = encoded(file, exif(value, order, kind))
        all_agree(data)
        shapes.add((orientation_of(data), DECODE(tf.constant(data)).shape[0]))
    assert shapes == {(value, 5 if value < 5 else 7) for value in range(1, 9)}


@pytest.mark.parametrize("file", KINDS)
def test_exif_that_is_cut_anywhere_is_as_in_pillow(file):
    whole = exif(6)
    for end in range(1, len(whole), 2):
        all_agree(encoded(file, whole[:end]))


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


JPEG, PNG = encoded("JPEG"), encoded("PNG")
EXIF = segment(0xE1, b"Exif\0\0" + exif(6))
SCAN = JPEG.index(b"\xff\xda")
CHUNK = struct.pack(">I", 48) + b"eXIf" + exif(6) + bytes(4)
PLACES = {
    "at the start": (JPEG[:2] + EXIF + JPEG[2:], 6),
    "after JFIF": (JPEG[:20] + EXIF + JPEG[20:], 6),
    "after XMP": (
        JPEG[:20] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0") + EXIF + JPEG[20:],
        6,
    ),
    "after a profile": (JPEG[:20] + segment(0xE2, bytes(60_000)) + EXIF + JPEG[20:], 6),
    "after fill bytes": (JPEG[:20] + b"\xff\xff" + EXIF + JPEG[20:], 6),
    "before the scan": (JPEG[:SCAN] + EXIF + JPEG[SCAN:], 6),
    "the first counts": (JPEG[:20] + EXIF + segment(0xE1, b"Exif\0\0" + exif(3)) + JPEG[20:], 6),
    "behind the image": (JPEG + EXIF, 1),
    "in a comment": (JPEG[:20] + segment(0xFE, b"Exif\0\0" + exif(6)) + JPEG[20:], 1),
    "after the pixels": (PNG[:-12] + CHUNK + PNG[-12:], 6),
    "after the end": (PNG + CHUNK, 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_where_exif_may_stand(place):
    data, expected = PLACES[place]
    assert orientation_of(data) == int(IN_GRAPH(tf.constant(data))) == expected


def test_what_looks_like_an_upright_entry_hides_none():
    before = bytes([1, 0, 0, 1, 0x12, 0, 3, 0, 0, 0, 1, 0])  # and the first byte behind it
    entry = bytes([1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0])
    part = b"MM\0*" + bytes([0, 0, 0, 8, 0, 2]) + before + entry + bytes(4)
    data = JPEG[:20] + segment(0xE1, b"Exif\0\0" + part) + JPEG[20:]
    assert int(IN_GRAPH(tf.constant(data))) == orientation_of(data) == 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_turned_when_small_is_as_if_it_had_been_turned_before(orientation):
    how, told = Preprocessing(4, 6), tf.constant(orientation, tf.int64)
    lying = tf.constant(np.random.default_rng(0).integers(0, 256, (18, 25, 3), np.uint8))
    turned = tf.constant(upright(lying.numpy(), orientation))
    whole = preprocess(lying, how, told)
    np.testing.assert_allclose(whole, preprocess(turned, how), atol=1e-3)
    views = [
        augment(image, how, tf.constant([0, 7]), *orientations, smallest_crop=0.3)
        for image, orientations in ((lying, [told]), (turned, []))
    ]
    np.testing.assert_allclose(*views, atol=1e-3)


@settings(max_examples=150, deadline=None)
@given(
    value=st.integers(1, 8),
    order=st.sampled_from("<>"),
    count=st.sampled_from([1, 0, 2, 3, 2**32 - 1]),
    changes=st.lists(
        st.tuples(st.integers(0, 47), st.sampled_from([0, 1, 2, 3, 6, 8, 18, 77, 255])), max_size=3
    ),
    end=st.integers(20, 48),
)
def test_the_graph_and_its_mirror_agree_on_any_damage(value, order, count, changes, end):
    damaged = bytearray(exif(value, order, count=count))
    for place, byte in changes:
        damaged[place] = byte
    part = bytes(damaged[:end])
    data = PNG[:33] + struct.pack(">I", len(part)) + b"eXIf" + part + bytes(4) + PNG[33:]
    assert int(IN_GRAPH(tf.constant(data))) == orientation_of(data)


def test_files_are_upright_in_batches_unless_orientation_is_ignored(tmp_path):
    grey = np.zeros((8, 8, 3), np.uint8)
    grey[0, 0] = 255  # the corner that turns from the left to the right
    path = tmp_path / "a.png"
    Image.fromarray(grey).save(path, exif=b"Exif\0\0" + exif(6))
    for orientation, corner in (("exif", (0, 7)), ("ignored", (0, 0))):
        how = Preprocessing(8, 8, orientation=orientation)
        [batch] = pixel_batches([path], how)
        pairs = PairBatches(np.ones((1, 1), np.int32), [0], paths=[path], preprocessing=how)
        for pixels in (batch[0], next(iter(pairs.dataset(0)))["pixels"][0]):
            assert np.argwhere(pixels.numpy()[:, :, 0] == 255).tolist() == [list(corner)]


def test_what_says_nothing_of_orientation_is_of_a_time_when_it_was_ignored():
    old = {"height": 2, "width": 3, "resize": "bilinear", "value_range": [0.0, 255.0]}
    assert Preprocessing.from_dict(old) == Preprocessing(2, 3, orientation="ignored")
    assert Preprocessing(2, 3).to_dict()["orientation"] == "exif"
