import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.retrieval import HubCorrection, VectorIndex
from mite_tf.retrieval.cosine import similarity, unit_rows


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


_ROW = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
_ROWS = st.lists(_ROW, min_size=1, max_size=8)


@given(_ROWS, _ROWS, _ROWS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["image", "caption"]))
def test_one_more_dimension_gives_the_order_of_the_formula(bank, items, asked, weight, queries):
    hubs = HubCorrection(bank, bank[::-1], weight=weight, neighbours=2)
    bias = hubs.bias(items, queries=queries)
    scores = similarity(unit_rows(asked), unit_rows(items)) - bias
    rows, columns = hubs.extended_queries(asked), hubs.extended_items(items, queries=queries)
    assert columns.shape == (len(items), 4)
    constant = rows @ columns.T - scores
    assert np.ptp(constant) < 1e-6  # so the order is the same but for rounding
    # The items of another day have the same constant.
    later = hubs.extended_items(items[:1], queries=queries)
    assert np.array_equal(later[0], columns[0])
    index = VectorIndex([str(row) for row in range(len(items))], items)
    found = index.search(asked, 3, bias=bias)
    if not weight:
        assert found == index.search(asked, 3)
    for hits, expected in zip(found, scores, strict=True):
        assert [hit.score for hit in hits] == np.sort(expected)[::-1][:3].tolist()
        assert [hit.score for hit in hits] == [expected[int(hit.id)] for hit in hits]


def test_biases_of_one_more_dimension_are_centred(bank):
    of_captions = bank.extended_items(bank.captions, queries="image")[:, -1]
    assert of_captions.mean() == pytest.approx(0, abs=1e-6)
    assert of_captions.std() > 0.01


def test_a_text_made_to_be_near_everything_does_not_take_over():
    random = np.random.default_rng(0)
    common = random.normal(size=32)  # what all pictures share, as in a cone

    def pairs(count):
        own, noise = random.normal(size=(count, 32)), random.normal(size=(2, count, 32))
        return common + own + 0.75 * noise[0], common + own + 1.5 * noise[1]

    hubs = HubCorrection(*pairs(400))
    images, captions = pairs(200)
    ids = [*map(str, range(200)), "attack"]
    index = VectorIndex(ids, [*captions, images.mean(axis=0)])

    def first(bias):
        return [hits[0].id for hits in index.search(images, 1, bias=bias)]

    plain, corrected = first(None), first(hubs.bias(index.vectors, queries="image"))
    assert plain.count("attack") > 25  # of 200; it answers none of them
    assert corrected.count("attack") < 5
    right = [sum(map(str.__eq__, found, ids)) for found in (plain, corrected)]
    assert right[1] > right[0] + 10


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
