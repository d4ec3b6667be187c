import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import probe_accuracy, quick_probe_accuracy

_N, _D = 400, 16
_ROWS = np.arange(_N)


def _gaussian(seed, spread=1.0):
    return np.random.default_rng(seed).normal(size=(_N, _D)) * spread


@pytest.mark.parametrize("hidden", [256, None])
def test_distributions_are_told_apart_if_one_is_shifted(hidden):
    accuracy = probe_accuracy(_gaussian(1), _gaussian(2), _ROWS, hidden=hidden)
    assert accuracy == pytest.approx(0.5, abs=0.06)
    assert probe_accuracy(_gaussian(1), _gaussian(2) + 2.0, _ROWS, hidden=hidden) > 0.99


def test_a_different_spread_is_seen_by_two_layers_but_not_by_one():
    flat = np.where(np.arange(_D) < _D // 2, 3.0, 0.3)
    images, captions = _gaussian(1, flat), _gaussian(2, flat[::-1])
    assert probe_accuracy(images, captions, _ROWS) > 0.95
    assert probe_accuracy(images, captions, _ROWS, hidden=None) == pytest.approx(0.5, abs=0.08)


def test_an_image_and_its_caption_are_held_out_together():
    # If a caption equal to a training image could be held out, the probe would know it as an
    # image and be wrong. Held out together, the two get one answer: right for exactly one.
    assert probe_accuracy(_gaussian(1), _gaussian(1), _ROWS) == 0.5


def test_modalities_are_balanced_however_many_captions_there_are():
    # Nine captions per image: always answering "caption" would be right in 90% of all rows.
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(100), 9)
    accuracy = probe_accuracy(rng.normal(size=(100, 4)), rng.normal(size=(900, 4)), rows)
    assert accuracy == pytest.approx(0.5, abs=0.15)


def test_images_without_captions_and_above_the_limit_are_left_out():
    images, captions = _gaussian(1), _gaussian(2)
    more = np.concatenate([images, np.full((50, _D), 1e3)])
    expected = probe_accuracy(images, captions, _ROWS, hidden=None)
    assert probe_accuracy(more, captions, _ROWS, hidden=None) == expected
    accuracy = probe_accuracy(images, captions, _ROWS, hidden=None, max_images=10)
    assert accuracy * 20 == pytest.approx(round(accuracy * 20))


def test_the_seed_decides_everything():
    arrays = (_gaussian(1), _gaussian(2) + 0.2, _ROWS)
    first = probe_accuracy(*arrays, hidden=16, seed=3)
    assert probe_accuracy(*arrays, hidden=16, seed=3) == first
    assert probe_accuracy(*arrays, hidden=16, seed=4) != first


def test_a_collapsed_model_is_at_chance():
    assert probe_accuracy(np.ones((20, 4)), np.ones((20, 4)), np.arange(20)) == 0.5


def test_too_few_images_are_refused():
    with pytest.raises(MiteError, match=r"at least 5 images with captions, .* there are 4"):
        probe_accuracy(np.eye(9), np.eye(9), [0, 1, 2, 3, 3, 3, 2, 1, 0])


def test_the_quick_probe_follows_the_full_one():
    flat = np.where(np.arange(_D) < _D // 2, 1.3, 0.8)
    spread = (_gaussian(1, flat), _gaussian(2, flat[::-1]), _ROWS)
    shifted = (_gaussian(1), _gaussian(2) + 0.3, _ROWS)
    assert quick_probe_accuracy(*shifted) == pytest.approx(probe_accuracy(*shifted), abs=0.025)
    assert quick_probe_accuracy(*spread) == pytest.approx(probe_accuracy(*spread), abs=0.05)
    assert probe_accuracy(*spread) > 0.6
