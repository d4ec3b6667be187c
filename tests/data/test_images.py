import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mite_tf.data.batches import PairBatches, pixel_batches
from mite_tf.data.images import Preprocessing, augment, decode_image, preprocess


def photograph(size=(120, 90), seed=0):
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "mode"),
    [
        ("JPEG", {"quality": 85}, "RGB"),
        ("JPEG", {"quality": 60, "progressive": True, "subsampling": 0}, "RGB"),
        ("JPEG", {}, "L"),
        ("PNG", {}, "RGB"),
        ("PNG", {}, "L"),
        ("GIF", {}, "P"),
        ("BMP", {}, "RGB"),
        ("WEBP", {"lossless": True}, "RGB"),
    ],
)
def test_decodes_to_the_same_bits_as_pillow(kind, options, mode):
    data = encoded(photograph().convert(mode), kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(data)), expected)


def test_decoding_works_inside_a_graph_for_every_kind_at_once():
    graph = tf.function(decode_image, input_signature=[tf.TensorSpec((), tf.string)])
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        assert graph(encoded(photograph(), kind)).shape == (90, 120, 3)


def test_what_is_no_image_raises():
    for data in (b"", b"text", b"RIFF____WEBPjunk", b"BMjunk"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_image(tf.constant(data))


def test_resize_agrees_with_pillow_to_one_grey_level():
    image = photograph((200, 150))
    ours = preprocess(tf.constant(np.asarray(image)), Preprocessing(64, 48)).numpy()
    pillow = np.asarray(image.resize((48, 64), Image.Resampling.BILINEAR), np.float32)
    assert ours.shape == (64, 48, 3)
    assert np.abs(ours - pillow).max() <= 1.0


def test_augment_is_a_function_of_its_seed():
    image = tf.constant(np.asarray(photograph()))

    def view(*seed, **options):
        return augment(image, Preprocessing(32, 32), tf.constant(seed), **options).numpy()

    np.testing.assert_array_equal(view(1, 2, smallest_crop=0.5), view(1, 2, smallest_crop=0.5))
    assert np.abs(view(1, 2, smallest_crop=0.5) - view(1, 3, smallest_crop=0.5)).max() > 1
    whole = preprocess(image, Preprocessing(32, 32)).numpy()
    mirrored = {bool(np.array_equal(view(1, n, smallest_crop=1.0), whole)) for n in range(12)}
    assert mirrored == {True, False}
    np.testing.assert_array_equal(view(1, 2, smallest_crop=1.0, flip=False), whole)


def test_pixels_come_from_the_right_files(tmp_path):
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 30), (10 * number, 0, 0)).save(paths[-1])
    specification = Preprocessing(16, 16)
    in_order = np.concatenate(list(pixel_batches(paths, specification, batch_size=2)))
    np.testing.assert_allclose(in_order[:, 0, 0, 0], [0, 10, 20, 30, 40], atol=1e-3)
    pairs = PairBatches(
        np.ones((5, 1), np.int32),
        np.arange(5),
        paths=paths,
        preprocessing=specification,
        batch_size=5,
        smallest_crop=0.4,
        flip=True,
    )
    for batch in pairs.dataset(0):
        reds = batch["pixels"][:, 8, 8, 0].numpy()
        np.testing.assert_allclose(reds, 10 * batch["image_id"].numpy(), atol=1e-3)


def test_preprocessing_round_trip():
    specification = Preprocessing(224, 192)
    assert Preprocessing.from_dict(specification.to_dict()) == specification
