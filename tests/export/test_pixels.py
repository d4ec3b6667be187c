import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mite_tf.data.images import Preprocessing, decode_image, preprocess
from mite_tf.errors import MiteError
from mite_tf.export.pixels import pixels_of, resized
from mite_tf.export.verification.cases import images

HOW = Preprocessing(24, 32)


def png(values):
    file = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_golden_pixels():
    """Halving four columns: a triangle of radius 2 weighs 3, 3 and 1 sevenths at the border."""
    grey = np.repeat(np.array([[0, 70, 140, 210]])[:, :, None], 3, axis=2)
    found = pixels_of(png(grey), Preprocessing(1, 2).to_dict())
    expected = [(3 * 0 + 3 * 70 + 140) / 7, (70 + 3 * 140 + 3 * 210) / 7]
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-4)


@pytest.mark.parametrize("name", sorted(images()))
def test_agrees_with_the_graph(name):
    data = images()[name]
    graph = preprocess(decode_image(tf.constant(data)), HOW).numpy()
    found = pixels_of(data, HOW.to_dict())
    assert found.dtype == np.float32
    assert np.abs(found - graph).mean() < 0.01
    assert np.abs(found - graph).max() < 1.01  # rounding of 16 bits


def test_cubic_lines_agree_with_the_graph_and_stay_within_0_to_255():
    edges = np.random.default_rng(0).integers(0, 2, (40, 50, 3)) * 255
    how = Preprocessing(24, 32, "bicubic")
    graph = preprocess(tf.constant(edges.astype(np.uint8)), how).numpy()
    found = pixels_of(png(edges), how.to_dict())
    np.testing.assert_allclose(found, graph, atol=0.01)
    assert (found.min(), found.max()) == (0, 255)
    assert np.abs(found - pixels_of(png(edges), HOW.to_dict())).max() > 10


@pytest.mark.parametrize("size", [(300, 200), (20, 30), (5, 400), (400, 5)])
def test_strips_do_not_show(size, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (97, 53, 3), np.uint8)
    channels = [
        Image.fromarray(channel.astype(np.float32)) for channel in pixels.transpose(2, 0, 1)
    ]
    whole = [each.resize(size[::-1], Image.Resampling.BILINEAR) for each in channels]
    monkeypatch.setattr("mite_tf.export.pixels._STRIP", 7 * 53)
    np.testing.assert_allclose(resized(pixels, size), np.stack(whole, -1), atol=1e-4)


@pytest.mark.parametrize("data", [b"", b"no image", images()["photo.jpg"][:200]])
def test_what_is_no_image_is_told(data):
    with pytest.raises(MiteError, match="cannot be decoded"):
        pixels_of(data, HOW.to_dict())


def test_another_preprocessing_is_refused():
    with pytest.raises(MiteError, match="not known here"):
        pixels_of(images()["photo.png"], {**HOW.to_dict(), "resize": "lanczos"})
