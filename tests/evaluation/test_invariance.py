import itertools

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.evaluation import centroid_gap, evaluate_embeddings, mmd, relative_modality_gap


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_centroid_gap_by_hand():
    # Means of unit rows: (1/2, 1/2) and (-1, 0); the lengths of the rows do not count.
    gap = centroid_gap([[5.0, 0.0], [0.0, 1.0]], [[-2.0, 0.0]])
    assert gap == pytest.approx(np.hypot(1.5, 0.5), abs=1e-7)


def test_relative_modality_gap_is_its_definition():
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(6, 5)), rng.normal(size=(9, 5))
    rows = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5])

    def d(x, y):
        return (1 - x @ y) / 2

    x, y = _unit(images), _unit(captions)
    matching = np.mean([d(x[rows[c]], y[c]) for c in range(9)])
    within_images = np.mean([d(a, b) for a, b in itertools.permutations(x, 2)])
    within_captions = np.mean([d(a, b) for a, b in itertools.permutations(y, 2)])
    expected = matching / (matching + (within_images + within_captions) / 2)
    assert relative_modality_gap(images, captions, rows) == pytest.approx(expected, abs=1e-7)


def test_relative_modality_gap_does_not_fall_only_because_everything_is_near():
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(2, 50, 8))
    rows, far = np.arange(50), 20 * np.eye(8)[0]
    assert centroid_gap(images + far, captions + far) < 0.2 * centroid_gap(images, captions)
    assert relative_modality_gap(images + far, captions + far, rows) == pytest.approx(
        relative_modality_gap(images, captions, rows), abs=0.03
    )
    # Of a collapsed model it is 0.
    assert relative_modality_gap(np.ones((3, 2)), np.ones((3, 2)), [0, 1, 2]) == 0.0


def test_mmd_is_its_definition():
    rng = np.random.default_rng(0)
    x, y = _unit(rng.normal(size=(7, 3))), _unit(rng.normal(size=(7, 3)) + 1)

    def k(a, b):
        return np.exp(-0.7 * np.sum((a - b) ** 2))

    h = [
        k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i])
        for i, j in itertools.permutations(range(7), 2)
    ]
    assert mmd(x, y, np.arange(7), gamma=0.7) == pytest.approx(np.mean(h), abs=1e-7)


def test_mmd_is_zero_on_average_for_equal_distributions_of_matching_pairs():
    # Captions lie near their image: an estimate that counted these pairs would be negative.
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(300):
        shared = rng.normal(size=(10, 4))
        images, captions = (shared + rng.normal(scale=0.3, size=(10, 4)) for _ in range(2))
        estimates.append(mmd(images, captions, np.arange(10)))
    error = np.std(estimates) / np.sqrt(300)
    assert abs(np.mean(estimates)) < 3 * error
    assert error < 0.005


def test_mmd_sees_a_different_spread():
    rng = np.random.default_rng(0)
    wide = np.array([3, 3, 0.3, 0.3])
    images, captions = rng.normal(size=(2, 200, 4)) * [[wide], [wide[::-1]]]
    assert centroid_gap(images, captions) < 0.2
    assert mmd(images, captions, np.arange(200)) > 0.1


def test_measures_that_need_two_images_say_so():
    with pytest.raises(MiteError, match="at least two images and two captions"):
        relative_modality_gap([[1, 0]], [[1, 0], [0, 1]], [0, 0])
    with pytest.raises(MiteError, match="at least two images with captions"):
        mmd(np.eye(2), np.eye(2), [0, 0])


def test_all_measures_have_the_names_of_their_functions():
    rng = np.random.default_rng(0)
    arrays = (*rng.normal(size=(2, 20, 4)), np.arange(20))
    measures = evaluate_embeddings(*arrays, seed=5).invariance
    assert list(measures) == ["probe_accuracy", "centroid_gap", "relative_modality_gap", "mmd"]
    assert measures["mmd"] == mmd(*arrays, seed=5)
    assert "probe_accuracy" not in evaluate_embeddings(*arrays, probe=False).invariance
