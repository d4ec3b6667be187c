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
    return [Hit(str(row), scores[row]) for row in order[:k]]


@given(vectors=_vectors(12, 2), queries=_vectors(4, 2), k=st.integers(1, 14))
def test_search_sorts_by_score_then_by_position(vectors, queries, k):
    index = VectorIndex([str(i) for i in range(len(vectors))], vectors)
    assert index.search(queries, k) == [_naive(vectors, query, k) for query in queries]


def test_scores_are_cosines():
    [[first, second]] = VectorIndex(["a", "b"], [[0, 7], [3, 4]]).search([[2, 0]], k=2)
    assert first == ("b", pytest.approx(0.6))
    assert second == ("a", 0.0)


def test_equal_vectors_come_in_the_order_they_were_given():
    index = VectorIndex(list("abcd"), [[1, 0], [1, 1], [1, 1], [1, 1]])
    assert [hit.id for hit in index.search([[1, 1]], k=2)[0]] == ["b", "c"]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, size=(300, 4)) + np.array([0, 0, 0, 3])  # many exact ties
    queries = rng.integers(-1, 2, size=(30, 4)) + np.array([0, 0, 0, 3])
    index = VectorIndex([str(i) for i in range(300)], vectors)
    whole = index.search(queries, k=50)
    monkeypatch.setattr(index_module, "_VECTORS", 7)
    monkeypatch.setattr(index_module, "_QUERIES", 4)
    assert index.search(queries, k=50) == whole
    assert whole == [_naive(vectors, query, 50) for query in queries]


def test_there_are_no_more_hits_than_vectors_and_none_without_queries():
    assert len(VectorIndex(["a", "b"], np.eye(2)).search([[1, 0]], k=10)[0]) == 2
    assert VectorIndex(["a"], [[1.0, 0.0]]).search(np.empty((0, 2)), k=1) == []


def test_what_cannot_be_searched_is_refused():
    index = VectorIndex(["a", "b"], np.eye(2))
    with pytest.raises(MiteError, match="at least 1; received 0"):
        index.search([[1, 0]], k=0)
    with pytest.raises(MiteError, match="dimension 2, the queries have 3"):
        index.search([[1, 0, 0]], k=1)
    with pytest.raises(MiteError, match="queries, row 0: all values are zero"):
        index.search([[0, 0]], k=1)


def test_what_cannot_be_indexed_is_refused():
    with pytest.raises(MiteError, match="3 ids, 2 vectors"):
        VectorIndex(["a", "b", "c"], np.eye(2))
    with pytest.raises(MiteError, match="at least one vector"):
        VectorIndex([], np.empty((0, 2)))
    with pytest.raises(MiteError, match="vectors, row 1: all values are zero"):
        VectorIndex(["a", "b"], [[1, 0], [0, 0]])
    with pytest.raises(MiteError, match=r"vectors, row 0: .* not finite"):
        VectorIndex(["a"], [[np.nan, 0]])


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
    assert (len(loaded), loaded.dimension) == (40, 33)
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
    assert VectorIndex.load(path).search([[0, 1]], 1) == [[Hit("b", 1.0)]]
    assert [p.name for p in tmp_path.iterdir()] == ["index.npz"]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_is_named(tmp_path, length):
    path = tmp_path / "index.npz"
    VectorIndex(["a", "b"], np.eye(2)).save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(MiteError, match=r"index\.npz is damaged"):
        VectorIndex.load(path)


def test_a_flipped_bit_in_the_vectors_is_noticed(tmp_path):
    path = tmp_path / "index.npz"
    index = VectorIndex(["a", "b"], np.random.default_rng(0).normal(size=(2, 64)))
    index.save(path)
    content = bytearray(path.read_bytes())
    content[content.index(index.vectors.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(MiteError, match=r"index\.npz is damaged"):
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
def test_a_foreign_file_is_named(tmp_path, save):
    path = tmp_path / "foreign.npz"
    save(path)
    with pytest.raises(MiteError, match=r"foreign\.npz"):
        VectorIndex.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MiteError, match=r"no index file .*absent\.npz"):
        VectorIndex.load(tmp_path / "absent.npz")
