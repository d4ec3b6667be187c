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


def same_as_pillow(data):
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(data), "ignored"), expected)


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
    same_as_pillow(encoded(photograph().convert(mode), kind, **options))


def transparent(seed=0):
    image = photograph(seed=seed)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize(
    ("kind", "options", "make"),
    [
        ("GIF", {}, photograph),
        ("WEBP", {"lossless": True}, photograph),
        ("WEBP", {}, photograph),
        ("WEBP", {"lossless": True}, transparent),
        ("WEBP", {"minimize_size": True}, transparent),
    ],
)
def test_of_an_animation_the_first_frame_counts(kind, options, make):
    frames = [make(seed=seed) for seed in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as file:
        assert file.n_frames == 3
    same_as_pillow(data)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("make", [photograph, transparent])
def test_webp_with_and_without_transparency(make, lossless, extended):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if extended else {}  # which takes an extended header
    same_as_pillow(encoded(make(), "WEBP", lossless=lossless, **options))


def test_what_a_gif_leaves_transparent_is_black():
    image = photograph().quantize(8)
    data = encoded(image, "GIF", transparency=3)
    with Image.open(io.BytesIO(data)) as file:
        alpha = np.asarray(file.convert("RGBA"))[:, :, 3]
        colours = np.asarray(file.convert("RGB"))
    assert 0 < (alpha == 0).mean() < 1
    np.testing.assert_array_equal(
        decode_image(tf.constant(data)), np.where(alpha[:, :, None] > 0, colours, 0)
    )


def test_every_kind_in_one_batch_inside_a_graph():
    kinds = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
    files = [encoded(photograph(), kind) for kind in kinds] + [encoded(transparent(), "WEBP")]
    frames = {"save_all": True, "append_images": [photograph(seed=1)]}
    files += [encoded(photograph(), kind, **frames) for kind in ("GIF", "WEBP")]
    graph = tf.function(
        lambda batch: tf.map_fn(
            decode_image, batch, fn_output_signature=tf.TensorSpec((90, 120, 3), tf.uint8)
        ),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    found = graph(tf.constant(files)).numpy()
    for file, pixels in zip(files, found, strict=True):
        np.testing.assert_array_equal(pixels, Image.open(io.BytesIO(file)).convert("RGB"))


def test_what_is_no_image_raises():
    junk = (b"", b"text", b"GIF8", b"RIFF____WEBP", b"RIFF____WEBPjunk", b"BMjunk")
    animation = b"RIFF____WEBPVP8X" + bytes([10, 0, 0, 0, 2, 0, 0, 0, 99, 0, 0, 99, 0, 0])
    for data in (*junk, animation, animation[:20], animation[:21]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_image(tf.constant(data))


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_resize_agrees_with_pillow_to_one_grey_level(resize):
    image = photograph((200, 150))
    ours = preprocess(tf.constant(np.asarray(image)), Preprocessing(64, 48, resize)).numpy()
    how = Image.Resampling[resize.upper()]
    pillow = np.asarray(image.resize((48, 64), how), np.float32)
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
    options = {"batch_size": 5, "smallest_crop": 0.4, "flip": True}
    files = {"paths": paths, "preprocessing": specification}
    pairs = PairBatches(np.ones((5, 1), np.int32), np.arange(5), **files, **options)
    for batch in pairs.dataset(0):
        reds = batch["pixels"][:, 8, 8, 0].numpy()
        np.testing.assert_allclose(reds, 10 * batch["image_id"].numpy(), atol=1e-3)


def test_preprocessing_round_trip():
    specification = Preprocessing(224, 192)
    assert Preprocessing.from_dict(specification.to_dict()) == specification
