"""The same index in Milvus Lite, behind the client of a cluster."""

import numpy as np
import pymilvus
import pytest
from milvus_lite.server_manager import server_manager_instance

from mite_tf.errors import MiteError
from mite_tf.retrieval.collection_index import open_index
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.index_interface import CollectionIndex
from mite_tf.retrieval.index_measurement import measured_search
from mite_tf.retrieval.milvus_index import MilvusIndex
from tests.retrieval.collections import CENTRES, best, make_folder, make_rows

ROWS = make_rows(90, fused=True)
QUERIES = make_rows(4, seed=9).vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of embeddings, and an index of it; both stay as they are."""
    path = tmp_path_factory.mktemp("milvus")
    folder = make_folder(path / "made", ROWS)
    MilvusIndex.create(path / "photos.db", folder, kind="flat", quiet=True)
    yield path, folder
    # Their threads of gRPC would be in the way of tests that fork.
    server_manager_instance.release_all()


@pytest.mark.parametrize("modality", ["image", "text", "both"])
@pytest.mark.parametrize("by", ["image", "text", None])
def test_it_finds_what_comparing_each_row_finds(made, by, modality):
    index = open_index(made[0] / "photos.db")
    assert (len(index), index.space, index.dimension) == (90, "abc", 16)
    found = index.search(
        QUERIES, by=by or "text", k=7, modality=modality, hub_correction=by is not None
    )
    for query, hits in zip(QUERIES, found, strict=True):
        expected = best(ROWS, query, by=by, k=7, modality=modality)
        assert [hit.id for hit in hits] == [name for name, *_ in expected]
        scores = [[hit.score, hit.cosine] for hit in hits]
        np.testing.assert_allclose(scores, [each[1:] for each in expected], atol=1e-5)
        assert [hit.text for hit in hits] == [ROWS.texts[int(hit.id)] for hit in hits]


def test_a_client_of_pymilvus_alone_finds_what_our_search_finds(made, tmp_path):
    path, folder = made
    faiss = FaissIndex.create(tmp_path / "index", folder, quiet=True)
    client = pymilvus.MilvusClient(str(path / "photos.db"))
    for by, ending in (("text", [0, -1]), ("image", [-1, 0])):
        ours = faiss.search(QUERIES, by=by, modality="text")
        theirs = client.search(
            "mite",
            [[*map(float, query), *ending] for query in QUERIES],
            limit=10,
            filter='modality == "text"',
            output_fields=["text"],
        )
        for mine, other in zip(ours, theirs, strict=True):
            assert [hit.text for hit in mine] == [hit["entity"]["text"] for hit in other]
            distances = [hit["distance"] for hit in other]
            np.testing.assert_allclose([hit.score for hit in mine], distances, atol=1e-5)


def test_rows_are_added_replaced_deleted_and_read(made, tmp_path):
    index = MilvusIndex.create(tmp_path / "a.db", made[1], kind="hnsw", quiet=True)
    assert [(each["by"], each["queries"], each["recall"]) for each in index.measurements()] == [
        ("image", 60, 1.0), ("text", 30, 1.0),
    ]  # fmt: skip
    second = make_rows(30, seed=1, first=80)
    index.add(make_folder(tmp_path / "second", second), quiet=True)
    assert index.delete(["3", "85", "nothing"]) == 2
    read = list(index.rows())
    ids = [name for rows in read for name in rows.ids]
    assert sorted(ids, key=int) == [str(at) for at in range(110) if at not in (3, 85)]
    vectors = np.concatenate([rows.vectors for rows in read])
    biases = np.concatenate([rows.text_bias for rows in read])
    for name, vector, bias in zip(ids, vectors, biases, strict=True):
        rows, at = (ROWS, int(name)) if int(name) < 80 else (second, int(name) - 80)
        np.testing.assert_allclose(vector, rows.vectors[at], atol=1e-6)
        assert bias == pytest.approx(rows.text_bias[at], abs=1e-6)
    [row] = index.get(["90"])
    np.testing.assert_allclose(row.vector, second.vectors[10], atol=1e-6)
    with pytest.raises(MiteError, match="holds no row of the id '3'"):
        index.get(["3"])
    index.compact()
    assert len(index) == 108


def test_recall_is_measured_against_every_row_with_the_query_held_out(made, monkeypatch):
    """Of an index that finds only the first six of what it should."""
    path, folder = made
    whole = CollectionIndex.search
    monkeypatch.setattr(
        MilvusIndex,
        "search",
        lambda *given, **named: [each[:6] for each in whole(*given, **named)],
    )
    for each in measured_search(open_index(path / "photos.db"), folder):
        hits = total = 0
        for at, kind in enumerate(ROWS.modalities):
            if (kind == "text") == (each["by"] == "text"):
                first = [name for name, *_ in best(ROWS, ROWS.vectors[at], by=each["by"], k=6)]
                hits += len(set(first) - {str(at)})
                total += 10
        assert each["recall"] == pytest.approx(hits / total, abs=1e-4)


def test_a_killed_build_is_told_and_goes_on_where_it_was(tmp_path, monkeypatch):
    first, second = make_rows(20), make_rows(20, seed=1, first=20)
    folder = make_folder(tmp_path / "made", first, second)
    written = []
    entities = MilvusIndex._entities

    def killed(self, rows):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(list(rows.ids))
        return entities(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(MilvusIndex, "_entities", killed)
        with pytest.raises(KeyboardInterrupt):
            MilvusIndex.create(tmp_path / "a.db", folder, quiet=True)
    with pytest.raises(MiteError, match=r"not complete\. Give the same `mite index` again"):
        open_index(tmp_path / "a.db")
    # As in another process, where nothing has loaded it.
    pymilvus.MilvusClient(str(tmp_path / "a.db")).release_collection("mite")
    with monkeypatch.context() as patched:
        patched.setattr(
            MilvusIndex, "_entities",
            lambda self, rows: [written.append(list(rows.ids)), entities(self, rows)][1],
        )  # fmt: skip
        MilvusIndex.create(tmp_path / "a.db", folder, quiet=True)
    assert written == [list(first.ids), list(second.ids)]
    assert len(open_index(tmp_path / "a.db")) == 40
    other = make_folder(tmp_path / "other", make_rows(6, seed=2))
    with pytest.raises(MiteError, match="there is a collection 'mite' already"):
        MilvusIndex.create(tmp_path / "a.db", other, quiet=True)
    beside = MilvusIndex.create(f"{tmp_path}/a.db#others", other, quiet=True)
    assert (len(beside), len(open_index(tmp_path / "a.db"))) == (6, 40)


def test_what_does_not_fit_is_refused(made, tmp_path):
    index = open_index(made[0] / "photos.db")
    with pytest.raises(MiteError, match="dimension 16, the queries have 4"):
        index.search(np.eye(4), by="text")
    with pytest.raises(MiteError, match="is of another model"):
        index.add(make_folder(tmp_path / "other", make_rows(4), space="b"))
    with pytest.raises(MiteError, match="of another bank"):
        index.add(make_folder(tmp_path / "bank", make_rows(4), centres=CENTRES | {"text": 0.5}))
    with pytest.raises(MiteError, match="Milvus Lite has no product quantisation"):
        MilvusIndex.create(tmp_path / "b.db", made[1], kind="ivfpq")
    with pytest.raises(MiteError, match="holds no collection 'dogs' of `mite index`"):
        open_index(f"{made[0]}/photos.db#dogs")
    with pytest.raises(MiteError, match="localhost:1: Milvus refuses: "):
        open_index("http://localhost:1")
