import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.retrieval import HubCorrection


@pytest.fixture(scope="module")
def bank():
    random = np.random.default_rng(0)
    images, captions = random.normal(size=(2, 40, 16))
    return HubCorrection(images, captions, weight=0.7, neighbours=3, space="of\u00fc")


def test_bias_is_the_weighted_mean_of_the_nearest_queries(bank):
    items = np.random.default_rng(1).normal(size=(7, 16))
    units = items / np.linalg.norm(items, axis=1, keepdims=True)
    for queries, vectors in (("image", bank.images), ("caption", bank.captions)):
        nearest = np.sort(units @ vectors.T.astype(float), axis=1)[:, -3:]
        found = bank.bias(items, queries=queries)
        assert found == pytest.approx(0.7 * nearest.mean(axis=1), abs=1e-6)


def test_a_bank_survives_a_round_trip_to_the_bit(bank, tmp_path):
    bank.save(tmp_path / "hubs.npz")
    again = HubCorrection.load(tmp_path / "hubs.npz")
    assert np.array_equal(again.images, bank.images)
    assert np.array_equal(again.captions, bank.captions)
    assert (again.weight, again.neighbours, again.space) == (0.7, 3, "of\u00fc")
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "hubs.npz").read_bytes()


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (None, "not a readable bank of hub correction: No such file"),
        ({"weight": np.float64(-1)}, "weight must be 0 or more; received -1"),
        ({"weight": np.float64(np.nan)}, "weight must be 0 or more"),
        ({"neighbours": np.int64(0)}, "neighbours must be 1 or more"),
        ({"neighbours": np.arange(2)}, "of other types"),
        ({"images": np.full((2, 16), np.inf, np.float16)}, "row 0: a value is not finite"),
        ({"images": np.zeros((2, 3), np.float16)}, "must share one dimension; they have 3 and 16"),
        ({"captions": np.zeros((0, 16), np.float16)}, "one of each at least"),
        ({"captions": np.array(["a"])}, "of other types"),
        ({"space": np.array([{}], object)}, "allow_pickle"),
    ],
)
def test_what_is_no_bank_is_told(spoilt, message, bank, tmp_path):
    path = tmp_path / "hubs.npz"
    if spoilt is not None:
        bank.save(path)
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **arrays | spoilt)
    with pytest.raises(MiteError, match=message):
        HubCorrection.load(path)
