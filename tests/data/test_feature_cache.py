import errno
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mite_tf.data.feature_cache import FeatureCache, TextFeatureCache, fingerprint_of_model
from mite_tf.data.images import Preprocessing
from mite_tf.errors import MiteError
from mite_tf.files import locked
from mite_tf.models import small_cnn

SIZE = Preprocessing(32, 32)


@pytest.fixture(scope="module")
def backbone():
    return small_cnn(image_size=32, width=8)


@pytest.fixture
def paths(tmp_path):
    random = np.random.default_rng(0)
    found = []
    for number in range(150):
        found.append(tmp_path / f"{number:03d}.png")
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(found[-1])
    return found


def counting(backbone, calls):
    """A cache that notes how many images the backbone sees."""

    class Counting(FeatureCache):
        @property
        def _forward(self):
            forward = super()._forward

            def counted(pixels):
                calls.append(len(pixels))
                return forward(pixels)

            return counted

    return lambda folder, specification=SIZE: Counting(folder, backbone, specification)


def test_a_disk_without_room_is_told_before_memory_is_written(
    tmp_path, backbone, paths, monkeypatch
):
    def refuse(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left on device") as caught:
        FeatureCache(tmp_path / "cache", backbone, SIZE).features(paths[:2])
    assert str(caught.value.filename).startswith(str(tmp_path / "cache"))
    assert not any((tmp_path / "cache").iterdir())


def test_a_backbone_with_dropout_is_known_again_when_it_is_loaded(tmp_path):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dropout(0.2)(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "backbone.keras")
    first, second = (keras.models.load_model(tmp_path / "backbone.keras") for _ in range(2))
    first.layers[-1].seed_generator.next()  # as one step of training does
    assert fingerprint_of_model(first) == fingerprint_of_model(second)
    second.layers[1].bias.assign([0.0, 1e-6])
    assert fingerprint_of_model(first) != fingerprint_of_model(second)


def test_a_backbone_is_known_again_whatever_was_made_before_it():
    def made(activation="relu", crossed=False):
        """Three layers of the same weights; the outputs of two of them in either order."""
        inputs = keras.Input((3,))
        first, second = (
            keras.layers.Dense(3, activation, kernel_initializer="ones")(inputs) for _ in range(2)
        )
        last = keras.layers.Dense(3, activation, kernel_initializer="ones")(first)
        outputs = (second, first) if crossed else (first, second)
        return keras.Model(inputs, keras.layers.Concatenate()([last, *outputs]))

    first, second = made(), made()
    assert first.layers[1].name != second.layers[1].name
    fingerprint = fingerprint_of_model(first)
    assert fingerprint_of_model(second) == fingerprint
    assert fingerprint_of_model(made(activation="tanh")) != fingerprint
    assert fingerprint_of_model(made(crossed=True)) != fingerprint
    second.layers[1].bias.assign([0.0, 0.0, 1e-6])
    assert fingerprint_of_model(second) != fingerprint


def test_features_are_those_of_the_backbone(tmp_path, backbone, paths):
    features = FeatureCache(tmp_path / "cache", backbone, SIZE).features(paths)
    image = tf.image.resize(np.asarray(Image.open(paths[7])), (32, 32), antialias=True)
    expected = backbone(image[None])[0]
    assert features.shape == (150, 1, 2, 2, 64)
    np.testing.assert_allclose(features[7, 0], expected, rtol=2e-3, atol=2e-3)


def test_views_are_the_whole_its_mirror_image_and_random_crops(tmp_path, backbone, paths):
    cache = FeatureCache(tmp_path / "cache", backbone, SIZE)
    views = cache.features(paths[:9], views=4, smallest_crop=0.3)
    np.testing.assert_array_equal(views[:, 0], cache.features(paths[:9])[:, 0])
    mirrored = tf.image.flip_left_right(
        tf.image.resize(np.asarray(Image.open(paths[3])), (32, 32), antialias=True)
    )
    np.testing.assert_allclose(views[3, 1], backbone(mirrored[None])[0], rtol=2e-3, atol=2e-3)
    assert np.abs(views[:, 2] - views[:, 3]).max() > 0.01


def test_computed_again_only_when_backbone_preprocessing_or_an_image_changes(tmp_path, paths):
    calls, backbone = [], small_cnn(image_size=32, width=8)
    make = counting(backbone, calls)
    first = np.array(make(tmp_path / "cache").features(paths))
    np.testing.assert_array_equal(make(tmp_path / "cache").features(paths), first)
    assert sum(calls) == 150
    Image.new("RGB", (9, 9)).save(paths[0])
    make(tmp_path / "cache").features(paths)
    assert sum(calls) == 300
    backbone.layers[2].kernel.assign_add(backbone.layers[2].kernel * 0 + 0.1)
    make(tmp_path / "cache").features(paths)
    assert sum(calls) == 450
    make(tmp_path / "cache", Preprocessing(32, 32, value_range=(0.0, 1.0))).features(paths)
    assert sum(calls) == 600


@pytest.mark.parametrize("damage", ["none", "truncate", "no-count", "nonsense"])
def test_an_interrupted_pass_goes_on_where_it_was_unless_it_is_damaged(
    tmp_path, backbone, paths, damage
):
    def stop(done, total):
        raise KeyboardInterrupt

    calls = []
    make = counting(backbone, calls)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cache").features(paths, on_progress=stop)
    [partial] = (tmp_path / "cache").glob("*.partial")
    [counter] = (tmp_path / "cache").glob("*.rows")
    if damage == "truncate":
        partial.write_bytes(partial.read_bytes()[:1000])
    elif damage == "no-count":
        counter.unlink()
    elif damage == "nonsense":
        counter.write_text("many")
    resumed = make(tmp_path / "cache").features(paths)
    assert sum(calls) == 150 + (64 if damage != "none" else 0)
    np.testing.assert_array_equal(resumed, make(tmp_path / "whole").features(paths))
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


@pytest.mark.parametrize("damage", ["short", "noise", "another type", "another shape", "pickled"])
def test_a_damaged_cache_is_computed_again_which_is_said(tmp_path, backbone, paths, capsys, damage):
    cache = FeatureCache(tmp_path / "cache", backbone, SIZE)
    first = np.array(cache.features(paths[:5]))
    [path] = (tmp_path / "cache").iterdir()
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(3000))
    elif damage == "another type":
        np.save(path, first[:, 0].astype(np.float32))
    elif damage == "another shape":
        np.save(path, first[:4, 0])
    else:
        np.save(path, np.array([{}]), allow_pickle=True)
    assert not cache.holds(paths[:5])
    np.testing.assert_array_equal(cache.features(paths[:5]), first)
    assert "is damaged; its features are computed again" in capsys.readouterr().err
    assert cache.holds(paths[:5])


def test_who_comes_second_waits_and_reads_what_the_first_has_computed(tmp_path, backbone, paths):
    told, begun, going_on = [], threading.Event(), threading.Event()

    def wait(done, total):
        begun.set()
        going_on.wait(30)

    def tell(sentence):
        told.append(sentence)
        going_on.set()

    first = FeatureCache(tmp_path / "cache", backbone, SIZE)
    calls = []
    second = counting(backbone, calls)(tmp_path / "cache")
    second._tell = tell
    with ThreadPoolExecutor() as pool:
        features = pool.submit(first.features, paths[:5], on_progress=wait)
        assert begun.wait(30)
        np.testing.assert_array_equal(second.features(paths[:5]), features.result(30))
    assert not calls
    [sentence] = told
    assert sentence.endswith("another process computes these features; waiting.")


def test_ctrl_c_ends_the_wait_for_another(tmp_path, backbone, paths):
    cache = FeatureCache(tmp_path / "cache", backbone, SIZE)
    cache.features(paths[:2])
    [path] = (tmp_path / "cache").iterdir()
    path.unlink()

    def stop(done, total):
        raise KeyboardInterrupt

    with locked(path.with_suffix(".lock")), pytest.raises(KeyboardInterrupt):
        cache.features(paths[:2], on_progress=stop)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_nothing_is_written_all_the_same(
    tmp_path, backbone, paths, monkeypatch, number
):
    """And a disk that fills up there is an error of the write, not a bus error."""

    def refuse(*given):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.posix_fallocate", refuse)
    cache = FeatureCache(tmp_path / "cache", backbone, SIZE)
    assert np.isfinite(cache.features(paths[:2])).all()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            cache.features(paths[:4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(caught.value.filename).endswith(".npy")


def test_an_undecodable_image_says_what_to_do(tmp_path, backbone, paths):
    paths[80].write_bytes(b"not an image at all")
    with pytest.raises(MiteError, match="mite data check"):
        FeatureCache(tmp_path / "cache", backbone, SIZE).features(paths)


class TestCaptions:
    @pytest.fixture
    def backbone(self):
        """Gives the sum of the ids, and how many columns it has seen, padding among them."""
        ids = keras.Input((None,), dtype="int32")
        total = keras.ops.sum(ids, axis=1, keepdims=True)
        columns = keras.ops.sum(keras.ops.ones_like(ids), axis=1, keepdims=True)
        both = keras.ops.concatenate([total, columns], axis=1)
        return keras.Model(ids, keras.ops.cast(both, "float32"))

    @pytest.fixture
    def ids(self):
        random = np.random.default_rng(0)
        lengths = random.integers(0, 13, 1500)
        return np.where(np.arange(12) < lengths[:, None], random.integers(1, 9, (1500, 12)), 0)

    def test_features_lie_in_order_and_hardly_any_padding_is_computed(
        self, tmp_path, backbone, ids
    ):
        features = TextFeatureCache(tmp_path, backbone).features(ids)
        np.testing.assert_array_equal(features[:, 0], ids.sum(1))
        padding = features[:, 1] - np.maximum((ids > 0).sum(1), 1)
        assert (features.dtype, padding.min()) == (np.float16, 0)
        assert padding.mean() < 0.6  # in the order of the captions it is 6

    def test_an_interrupted_pass_goes_on_where_it_was(self, tmp_path, backbone, ids):
        done = []

        def stop(rows, total):
            done.append(rows)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            TextFeatureCache(tmp_path, backbone).features(ids, on_progress=stop)
        cache = TextFeatureCache(tmp_path, backbone)
        features = cache.features(ids, on_progress=lambda rows, total: done.append(rows))
        np.testing.assert_array_equal(features[:, 0], ids.sum(1))
        assert done == [1024, 1500]

    def test_computed_again_when_captions_or_backbone_change(self, tmp_path, backbone, ids):
        TextFeatureCache(tmp_path, backbone).features(ids)
        TextFeatureCache(tmp_path, backbone).features(ids)
        assert len(list(tmp_path.glob("*.npy"))) == 1
        ids[7, 0] += 1
        assert TextFeatureCache(tmp_path, backbone).features(ids)[7, 0] == ids[7].sum()
        other = keras.Model(backbone.input, backbone.output[:, :1] + 1)
        assert TextFeatureCache(tmp_path, other).features(ids)[7, 0] == ids[7].sum() + 1
