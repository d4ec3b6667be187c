"""An index in a folder: what it finds, how it changes, what it survives."""

import errno
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.extras import MissingPackage
from mite_tf.retrieval import faiss_index, index_measurement
from mite_tf.retrieval.collection_index import open_index
from mite_tf.retrieval.embedding_files import EmbeddedRows
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.faiss_segment import Ranked
from tests.retrieval.collections import CENTRES, best, make_folder, make_rows

QUERIES = make_rows(8, seed=9).vectors


def told(because):
    return pytest.raises(MiteError, match=re.escape(because))


def create(path, folder, **options):
    return FaissIndex.create(path, folder, quiet=True, **options)


@pytest.mark.parametrize("modality", ["image", "text", "both"])
@pytest.mark.parametrize("by", ["image", "text", None])
def test_flat_finds_what_comparing_each_row_finds(tmp_path, by, modality):
    rows = make_rows(90, fused=True)
    shards = (
        EmbeddedRows(*(each[:40] for each in rows)),
        EmbeddedRows(*(each[40:] for each in rows)),
    )
    create(tmp_path / "index", make_folder(tmp_path / "made", *shards))
    index = open_index(tmp_path / "index")
    assert (len(index), index.space, index.dimension) == (90, "abc", 16)
    found = index.search(
        QUERIES, by=by or "text", k=7, modality=modality, hub_correction=by is not None
    )
    for query, hits in zip(QUERIES, found, strict=True):
        expected = best(rows, query, by=by, k=7, modality=modality)
        assert [hit.id for hit in hits] == [name for name, *_ in expected]
        scores = [[hit.score, hit.cosine] for hit in hits]
        np.testing.assert_allclose(scores, [each[1:] for each in expected], atol=1e-6)
        for hit in hits:
            row = int(hit.id)
            assert hit[1:4] == (rows.modalities[row], rows.paths[row], rows.texts[row])


@pytest.mark.parametrize(
    ("kind", "vectors"),
    [("flat", "float16"), ("flat", "int8"), ("flat", "binary"),
     ("hnsw", "float32"), ("hnsw", "float16"), ("hnsw", "int8"), ("ivfpq", "float32")],
)  # fmt: skip
def test_other_kinds_find_nearly_the_same_with_exact_scores(tmp_path, kind, vectors, monkeypatch):
    monkeypatch.setattr("mite_tf.retrieval.faiss_kinds._PQ_FROM", 300)
    rows = make_rows(1400)
    folder = make_folder(tmp_path / "made", rows)
    index = create(tmp_path / "index", folder, kind=kind, vectors=vectors)
    assert {each.facts.kind for each in index.segments} == {kind}
    hits = 0
    for by in ("image", "text"):
        found = index.search(QUERIES, by=by)
        for query, row in zip(QUERIES, found, strict=True):
            expected = {name: each for name, *each in best(rows, query, by=by, k=1400)}
            for hit in row:
                near = 1e-6 if vectors != "float16" else 2e-3
                np.testing.assert_allclose([hit.score, hit.cosine], expected[hit.id], atol=near)
            hits += len({hit.id for hit in row} & set(list(expected)[:10]))
    assert hits / (2 * 10 * len(QUERIES)) > 0.9
    index.delete([hit.id for hit in found[0]])
    [after] = index.search(QUERIES[:1], by="text")
    assert len(after) == 10
    assert not {hit.id for hit in after} & {hit.id for hit in found[0]}


def test_recall_is_measured_against_an_exact_search_with_the_query_held_out(tmp_path):
    rows = make_rows(1000, dimension=32)
    index = create(tmp_path / "index", make_folder(tmp_path / "made", rows), vectors="binary")
    measured = index.measurements()
    assert [(each["rows"], each["by"]) for each in measured] == [
        ("image", "image"), ("image", "text"), ("text", "image"), ("text", "text"),
    ]  # fmt: skip
    for each in measured:
        assert each["queries"] == 200
        assert 0 < each["p50_ms"] <= each["p99_ms"]
        random = np.random.default_rng(1)
        own = [row for row, kind in enumerate(rows.modalities) if kind == each["by"]]
        hits = 0
        for row in random.choice(own, 50, replace=False):
            how = {"by": each["by"], "k": 11, "modality": each["rows"]}
            [found] = index.search(rows.vectors[[row]], **how)
            names = [hit.id for hit in found if hit.id != str(row)][:10]
            truth = [name for name, *_ in best(rows, rows.vectors[row], **how) if name != str(row)]
            hits += len(set(names) & set(truth[:10]))
        assert abs(hits / 500 - each["recall"]) < 0.04
        assert each["recall"] >= 0.97
        assert each["effort"] < 1024
    assert [each["recall"] for each in create(
        tmp_path / "flat", make_folder(tmp_path / "again", rows)
    ).measurements()] == [1.0] * 4  # fmt: skip


def test_a_query_does_not_find_itself_in_what_is_measured():
    ranked = Ranked(np.array([[4, 2, 7], [2, 3, 1]]), np.array([[0.9, 0.8, 0.7]] * 2), np.zeros(0))
    kept = index_measurement._held_out(ranked, np.array([2, -1]))
    np.testing.assert_array_equal(kept, [[0.9, 0.7, -np.inf], [0.9, 0.8, 0.7]])
    found = np.array([[0.9, 0.8, 0.6], [0.9, -np.inf, -np.inf]])
    best = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, -np.inf]])
    assert index_measurement._recall(found, best) == 3 / 5


def contents(index):
    return {
        name: (*tuple(np.round(vector, 5)), path, text)
        for rows in index.rows()
        for name, path, text, vector in zip(
            rows.ids, rows.paths, rows.texts, rows.vectors, strict=True
        )
    }


def expected_of(*parts):
    found = {}
    for rows in parts:
        for at, name in enumerate(rows.ids):
            found[name] = (*tuple(np.round(rows.vectors[at], 5)), rows.paths[at], rows.texts[at])
    return found


def test_rows_are_added_replaced_deleted_and_compacted(tmp_path):
    first, second = make_rows(40), make_rows(30, seed=1, first=25)
    index = create(tmp_path / "index", make_folder(tmp_path / "first", first))
    index.add(make_folder(tmp_path / "second", second), quiet=True)
    expected = expected_of(first, second)
    assert len(index) == len(expected) == 55
    assert contents(index) == contents(open_index(tmp_path / "index")) == expected
    assert index.delete(["0", "30", "nothing"]) == 2
    assert index.delete(["0", "30", "nothing"]) == 0
    del expected["0"], expected["30"]
    assert contents(open_index(tmp_path / "index")) == expected
    before = index.search(QUERIES, by="text", k=60)
    size = sum(each.stat().st_size for each in (tmp_path / "index").rglob("*"))
    index.compact(quiet=True)
    assert len(index.segments) == 2
    assert sum(each.stat().st_size for each in (tmp_path / "index").rglob("*")) < size
    opened = open_index(tmp_path / "index")
    assert contents(opened) == expected
    after = opened.search(QUERIES, by="text", k=60)
    for one, other in zip(before, after, strict=True):
        assert [each.id for each in one] == [each.id for each in other]
    [row] = opened.get(["31"])
    assert (row.modality, row.text) == (second.modalities[6], second.texts[6])
    np.testing.assert_allclose(row.vector, second.vectors[6], atol=1e-6)
    with told("holds no row of the id '30'"):
        opened.get(["31", "30"])
    opened.add(make_folder(tmp_path / "few", make_rows(2, seed=2, first=90)), quiet=True)
    for gone in (["90", "4"], ["5"], []):
        assert opened.delete(gone) == len(gone)
        opened.compact(quiet=True)
        assert len(opened.segments) == 2
        assert not any(each.facts.gone for each in opened.segments)
    assert len(opened) == 52
    assert opened.delete([*expected, "91"]) == 52
    assert open_index(tmp_path / "index").search(QUERIES[:1], by="text") == [[]]


@pytest.mark.parametrize("stage", ["build", "measured", "write_text"])
def test_whoever_is_stopped_when_leaves_the_index_as_it_was(tmp_path, stage, monkeypatch):
    first, second = make_rows(40), make_rows(30, seed=1, first=25)
    folder, more = make_folder(tmp_path / "first", first), make_folder(tmp_path / "more", second)

    def stopped(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(faiss_index, stage, stopped)
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path / "index", folder)
    assert not (tmp_path / "index").exists()
    index = create(tmp_path / "index", folder)
    with monkeypatch.context() as patched:
        patched.setattr(faiss_index, stage, stopped)
        patched.setattr(FaissIndex, "_sweep", lambda self: None)  # as if it were killed
        with pytest.raises(KeyboardInterrupt):
            open_index(tmp_path / "index").add(more, quiet=True)
        if stage == "write_text":
            with pytest.raises(KeyboardInterrupt):
                open_index(tmp_path / "index").delete(["1"])
    assert contents(open_index(tmp_path / "index")) == expected_of(first)
    assert len(list((tmp_path / "index").glob("segment-*"))) == 4
    index.add(more, quiet=True)
    assert contents(open_index(tmp_path / "index")) == expected_of(first, second)
    named = {
        each["name"] for each in json.loads((tmp_path / "index/index.json").read_text())["segments"]
    }
    left = {each.name for each in (tmp_path / "index").iterdir()}
    assert left == named | {"index.json"}


def test_a_full_disk_names_the_index_and_leaves_none(tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "made", make_rows(40))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(faiss_index, "build", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        create(tmp_path / "index", folder)
    assert raised.value.filename == str(tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_a_killed_build_is_told_and_done_again(tmp_path):
    folder = make_folder(tmp_path / "made", make_rows(40))
    create(tmp_path / "index", folder)
    (tmp_path / "index/index.json").unlink()
    with told("index: not complete. Give the same `mite index` again."):
        open_index(tmp_path / "index")
    assert len(create(tmp_path / "index", folder)) == 40
    with told("there is an index already. Add to it with `mite index"):
        create(tmp_path / "index", folder)


def test_what_does_not_fit_is_refused(tmp_path):
    index = create(tmp_path / "index", make_folder(tmp_path / "made", make_rows(40)))
    with told("holds vectors of dimension 16, the queries have 4"):
        index.search(np.eye(4), by="text")
    with told("k must be at least 1"):
        index.search(QUERIES, by="text", k=0)
    with told("modality must be image, text or both"):
        index.search(QUERIES, by="text", modality="sound")
    with told("is of another model"):
        index.add(make_folder(tmp_path / "other", make_rows(4), space="b"))
    with told("of another bank"):
        index.add(make_folder(tmp_path / "bank", make_rows(4), centres=CENTRES | {"text": 0.5}))
    with told("of another bank"):
        index.add(make_folder(tmp_path / "none", make_rows(4, bias=False)))
    twice = make_folder(tmp_path / "twice", make_rows(4), make_rows(2))
    with told("two rows to add have the id '0'"):
        index.add(twice, quiet=True)
    with told("two rows to add have the id '0'"):
        create(tmp_path / "new", twice)
    with told("The kind hnsw takes vectors of float32, float16, int8, not binary."):
        create(tmp_path / "new", twice, kind="hnsw", vectors="binary")
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/notes.txt").write_text("mine")
    with told("new: is a folder of images or captions. Name a new folder."):
        create(tmp_path / "new", twice)
    with told("made: is a folder of embeddings, no index"):
        open_index(tmp_path / "made")
    assert len(open_index(tmp_path / "index")) == 40


@pytest.mark.parametrize(
    "name", ["index.json", "rows.arrow", "vectors.bin", "search.faiss", "deleted-1.npy"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_damage_is_one_sentence_with_the_file(tmp_path, name, damage):
    index = create(tmp_path / "index", make_folder(tmp_path / "made", make_rows(40)))
    index.delete(["0"])
    [file, *_] = (tmp_path / "index").rglob(name)
    data = file.read_bytes()
    if damage == "gone":
        if name == "index.json":
            pytest.skip("it is then not complete")
        file.unlink()
    else:
        other = bytes(len(data)) if name != "vectors.bin" else data[:-2]
        file.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "other": other}[damage])
    with pytest.raises(MiteError, match=f"{name}: not .*Index again with `mite index`.$"):
        open_index(tmp_path / "index")


@pytest.mark.parametrize(
    ("key", "value"),
    [("effort", "x"), ("rows", None), ("gone", -1), ("name", "../made"), ("deleted", "../a.npy")],
)
def test_a_manifest_of_odd_values_is_refused(tmp_path, key, value):
    create(tmp_path / "index", make_folder(tmp_path / "made", make_rows(40)))
    file = tmp_path / "index/index.json"
    values = json.loads(file.read_text())
    values["segments"][0][key] = value
    file.write_text(json.dumps(values))
    with told("index.json: not what describes an index: its values are out of range. Index again"):
        open_index(tmp_path / "index")


@pytest.mark.parametrize("package", ["faiss", "pyarrow"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, package, monkeypatch):
    folder = make_folder(tmp_path / "made", make_rows(40))
    create(tmp_path / "index", folder)
    monkeypatch.setitem(sys.modules, package, None)
    for work in (open_index, lambda _: create(tmp_path / "new", folder)):
        with pytest.raises(MissingPackage, match=rf"needs {package}, .*\[search\]"):
            work(tmp_path / "index")
    assert not (tmp_path / "new").exists()


def test_without_a_bank_scores_are_cosines(tmp_path):
    rows = make_rows(40, bias=False)
    index = create(tmp_path / "index", make_folder(tmp_path / "made", rows, dtype="float16"))
    [hits] = index.search(QUERIES[:1], by="text")
    assert [hit.id for hit in hits] == [name for name, *_ in best(rows, QUERIES[0])]
    assert all(hit.score == hit.cosine for hit in hits)
    index.add(make_folder(tmp_path / "more", make_rows(2, first=40)), quiet=True)
    assert len(index) == 42
    shutil.copytree(tmp_path / "index", tmp_path / "moved")
    assert contents(open_index(tmp_path / "moved")) == contents(index)
