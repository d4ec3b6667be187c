import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.retrieval import Hit, VectorIndex
from mite_tf.retrieval import index as index_module
from mite_tf.retrieval.cosine import similarity, unit_rows

_SMALL = st.integers(-2, 2)


def _vectors(rows, dimension):
    row = st.lists(_SMALL, min_size=dimension, max_size=dimension).filter(any)
    return st.lists(row, min_size=1, max_size=rows)


def _naive(vectors, query, k):
    scores = similarity(unit_rows([query]), unit_rows(vectors))[0].tolist()
    order = sorted(range(len(vectors)), key=lambda row: (-scores[row], row))
    return [Hit(str(row), scores[row], scores[row]) for row in order[:k]]


@given(_vectors(12, 2), _vectors(4, 2), st.integers(1, 14), st.integers(1, 13))
def test_search_sorts_by_score_then_by_position_in_any_blocks(vectors, queries, k, block):
    index = VectorIndex([str(i) for i in range(len(vectors))], vectors)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(index_module, "_VECTORS", block)
        monkeypatch.setattr(index_module, "_QUERIES", block)
        assert index.search(queries, k) == [_naive(vectors, query, k) for query in queries]


def test_scores_are_cosines():
    [[first, second]] = VectorIndex(["a", "b"], [[0, 7], [3, 4]]).search([[2, 0]], k=2)
    assert first == ("b", pytest.approx(0.6), first.score)
    assert second == ("a", 0.0, 0.0)


def test_there_are_no_more_hits_than_vectors_and_none_without_queries():
    assert len(VectorIndex(["a", "b"], np.eye(2)).search([[1, 0]], k=10)[0]) == 2
    assert VectorIndex(["a"], [[1.0, 0.0]]).search(np.empty((0, 2)), k=1) == []


@pytest.mark.parametrize("bias", [[0.0], [0.0, np.nan], 0.0])
def test_a_bias_is_one_finite_number_for_each_vector(bias):
    with pytest.raises(MiteError, match="one finite number for each of 2 vectors"):
        VectorIndex(["a", "b"], np.eye(2)).search([[1, 0]], bias=bias)


@pytest.mark.parametrize(
    ("vector", "k", "message"),
    [
        ([1, 0], 0, "at least 1; received 0"),
        ([1, 0, 0], 1, "dimension 2, the queries have 3"),
        ([0, 0], 1, "queries, row 0: all values are zero"),
    ],
)
def test_what_cannot_be_searched_is_refused(vector, k, message):
    with pytest.raises(MiteError, match=message):
        VectorIndex(["a", "b"], np.eye(2)).search([vector], k=k)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ("abc", np.eye(2), "3 ids, 2 vectors"),
        ("", np.empty((0, 2)), "at least one vector"),
        ("ab", [[1, 0], [0, 0]], "vectors, row 1: all values are zero"),
        ("a", [[np.nan, 0]], "vectors, row 0: .* not finite"),
    ],
)
def test_what_cannot_be_indexed_is_refused(ids, vectors, message):
    with pytest.raises(MiteError, match=message):
        VectorIndex(list(ids), vectors)


def test_save_and_load_give_the_same_index(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(40, 33))
    ids = [f"bild {i} كلب\udcff\0" for i in range(40)]
    index = VectorIndex(ids, vectors, metadata={"model": "mite", "nested": {"k": [1, 2.5]}})
    index.save(tmp_path / "new" / "images.npz")
    loaded = VectorIndex.load(tmp_path / "new" / "images.npz")
    assert loaded.ids == index.ids
    assert loaded.metadata == index.metadata
    assert loaded.vectors.dtype == np.float32
    assert (loaded.vectors == index.vectors).all()
    assert len(loaded) == 40
    assert loaded.search(vectors[:5], 3) == index.search(vectors[:5], 3)


def test_save_replaces_a_file_whole_and_leaves_no_other(tmp_path):
    path = tmp_path / "index.npz"
    VectorIndex(["a"], [[1.0, 0.0]]).save(path)
    before = path.read_bytes()
    broken = VectorIndex(["b"], [[1.0, 0.0]], metadata={"not": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before
    VectorIndex(["b"], [[0.0, 1.0]]).save(path)
    assert VectorIndex.load(path).search([[0, 1]], 1) == [[Hit("b", 1.0, 1.0)]]
    assert [p.name for p in tmp_path.iterdir()] == ["index.npz"]


@pytest.mark.parametrize("damage", ["cut to 0", "cut to 100", "cut by 1", "a flipped bit"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "index.npz"
    index = VectorIndex(["a", "b"], np.random.default_rng(0).normal(size=(2, 64)))
    index.save(path)
    content = bytearray(path.read_bytes())
    if damage == "a flipped bit":
        content[content.index(index.vectors.tobytes()) + 5] ^= 1
    else:
        del content[{"cut to 0": 0, "cut to 100": 100, "cut by 1": -1}[damage] :]
    path.write_bytes(content)
    with pytest.raises(MiteError, match=r"index\.npz: not a readable search index"):
        VectorIndex.load(path)


def _save_other_format(path):
    header = json.dumps({"format": "someone else's", "ids": ["a"], "metadata": {}}).encode()
    np.savez(path, header=np.frombuffer(header, np.uint8), vectors=np.ones((1, 2), np.float32))


@pytest.mark.parametrize(
    "save",
    [
        lambda path: path.write_text("not an archive"),
        lambda path: np.savez(path, weights=np.eye(2)),
        lambda path: np.savez(path, header=np.array([{}], object), vectors=np.eye(2)),
        lambda path: path.mkdir(),
        _save_other_format,
    ],
    ids=["text", "other arrays", "objects", "a folder", "another format"],
)
def test_foreign_and_missing_files_are_named(tmp_path, save):
    path = tmp_path / "foreign.npz"
    save(path)
    with pytest.raises(MiteError, match=r"foreign\.npz"):
        VectorIndex.load(path)
    with pytest.raises(MiteError, match=r"no index file .*absent\.npz"):
        VectorIndex.load(tmp_path / "absent.npz")
