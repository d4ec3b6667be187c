"""Searching and cleaning a collection by the command line, from embeddings of a real export."""

from __future__ import annotations

import json
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mite_tf.cli import main
from mite_tf.collection.query import QueryEncoder, search_collection
from mite_tf.errors import MiteError, UnknownWordsWarning
from mite_tf.export.manifest import read_manifest
from mite_tf.reports.pages import thumbnail_of
from mite_tf.retrieval.collection_index import open_index
from mite_tf.retrieval.embedding_files import EmbeddedRows
from mite_tf.serving.client import EmbeddingClient
from tests.collection.conftest import write_tar
from tests.retrieval.collections import best, make_folder

TEXTS = ["a red dog runs left", "green circle", "two dogs", "a square", "left, left, left"]


@pytest.fixture(scope="module")
def made(export_folder, tmp_path_factory):
    """Six pictures and five texts, embedded, and the index of them; all stay as they are."""
    path = tmp_path_factory.mktemp("collection")
    (path / "photos").mkdir()
    random, files = np.random.default_rng(0), []
    for number in range(5):
        files.append(path / "photos" / f"{number}.png")
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(files[-1])
    files.append(path / "photos" / "again.png")
    files[-1].write_bytes(files[0].read_bytes())
    with EmbeddingClient.local(export_folder, threads=1) as client:
        vectors = np.concatenate([client.embed_images(files), client.embed_text(TEXTS)])
    names = [file.stem for file in files] + [f"text-{at}" for at in range(len(TEXTS))]
    rows = EmbeddedRows(
        names,
        ["image"] * 6 + ["text"] * 5,
        [*map(str, files), *[None] * 5],
        [*[None] * 6, *TEXTS],
        vectors,
        *random.normal(0.275, 0.02, (2, 11)).astype(np.float32),
    )
    space = read_manifest(export_folder).space
    make_folder(path / "embeddings", rows, space=space)
    make_folder(path / "others", rows, space="another")
    words = ["--out", f"{path}/index", "--export", str(export_folder)]
    assert main(["index", f"{path}/embeddings", *words]) == 0
    assert main(["index", f"{path}/others", "--out", f"{path}/of-others"]) == 0
    return SimpleNamespace(path=path, rows=rows, files=files, index=path / "index")


@pytest.fixture
def encoder(export_folder):
    with QueryEncoder(export_folder, threads=1) as opened:
        yield opened


def test_the_first_values_of_embeddings_are_a_space_of_their_own(made, export_with_bank, tmp_path):
    embed = ["embed", str(export_with_bank), "--images", f"{made.path}/photos", "--processes", "1"]
    assert main([*embed, "--out", f"{tmp_path}/four", "--dimensions", "4"]) == 0
    assert main(["index", f"{tmp_path}/four", "--out", f"{tmp_path}/index"]) == 0
    index = open_index(tmp_path / "index")
    whole = made.rows.vectors[[made.rows.ids.index("text-1"), 3]]
    query, picture = (each[:4] / np.linalg.norm(each[:4]) for each in whole)
    with QueryEncoder.of(index) as encoder:
        found = search_collection(index, encoder, text=TEXTS[1])
    [cosine] = [each.cosine for each in found if each.id == "3.png"]
    assert cosine == pytest.approx(float(query @ picture), abs=1e-5)
    with (
        QueryEncoder(export_with_bank) as encoder,
        pytest.raises(MiteError, match="is of another model"),
    ):
        search_collection(index, encoder, text=TEXTS[1])


def test_what_a_model_was_not_trained_for_is_refused(made, export_with_bank, tmp_path, capsys):
    embed = ["embed", str(export_with_bank), "--images", f"{made.path}/photos"]
    assert main([*embed, "--out", f"{tmp_path}/five", "--dimensions", "5"]) == 2
    assert "trained for embeddings of 4, 16 numbers, not of 5" in capsys.readouterr().err


def test_texts_pictures_and_both_find_what_they_were_embedded_as(made, encoder):
    index = open_index(made.index)
    vectors = dict(zip(made.rows.ids, made.rows.vectors, strict=True))
    for weight, by in ((0.25, "image"), (0.75, "text")):
        both = weight * vectors["text-1"] + (1 - weight) * vectors["2"]
        query, given = encoder.embed(TEXTS[1], made.files[2], text_weight=weight)
        np.testing.assert_allclose(query, both / np.linalg.norm(both), atol=1e-5)
        assert given == by
    for options, query, by in (
        ({"text": TEXTS[2]}, vectors["text-2"], "text"),
        ({"image": made.files[3]}, vectors["3"], "image"),
        ({"image": made.files[3].read_bytes()}, vectors["3"], "image"),
        ({"text": TEXTS[2], "hub_correction": False}, vectors["text-2"], None),
    ):
        found = search_collection(index, encoder, k=4, **options)
        expected = best(made.rows, query, by=by, k=4)
        assert [each.id for each in found] == [name for name, *_ in expected]
        values = [[each.score, each.cosine] for each in found]
        np.testing.assert_allclose(values, [each[1:] for each in expected], atol=1e-5)


def test_the_command_prints_lines_json_and_many_queries(made, capsys, tmp_path):
    words = ["search", str(made.index), "-k", "3"]
    vectors = dict(zip(made.rows.ids, made.rows.vectors, strict=True))
    expected = best(made.rows, vectors["text-3"], by="text", k=3, modality="image")
    assert main([*words, TEXTS[3], "--modality", "image"]) == 0
    lines = capsys.readouterr().out.splitlines()
    paths = dict(zip(made.rows.ids, made.rows.paths, strict=True))
    for line, (name, score, cosine) in zip(lines, expected, strict=True):
        assert line == f"{score:6.3f} (cosine {cosine:6.3f})  {paths[name]}"
    assert main([*words, TEXTS[3], "--modality", "image", "--json"]) == 0
    [first, *_] = json.loads(capsys.readouterr().out)
    assert (first["id"], first["path"], first["modality"]) == (
        expected[0][0], paths[expected[0][0]], "image",
    )  # fmt: skip
    assert first["cosine"] == pytest.approx(expected[0][2], abs=1e-5)
    queries = tmp_path / "queries.txt"
    queries.write_text(f"{TEXTS[3]}\n\n{TEXTS[0]}\n", "utf-8-sig")
    assert main([*words, "--queries", str(queries), "--json", "--no-hub-correction"]) == 0
    for each, number in zip(json.loads(capsys.readouterr().out), (3, 0), strict=True):
        assert each["query"] == TEXTS[number]
        names = [found["id"] for found in each["found"]]
        assert names == [name for name, *_ in best(made.rows, vectors[f"text-{number}"], k=3)]
    page = tmp_path / "found.html"
    assert main([*words, "--image", str(made.files[0]), "--html", str(page)]) == 0
    assert page.read_text("utf-8").count("<img") >= 2


def test_what_fits_is_listed_copied_and_moved_and_nothing_overwritten(made, capsys, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = made.rows._replace(
        paths=[None if path is None else str(photos / f"{name}.png")
               for name, path in zip(made.rows.ids, made.rows.paths, strict=True)]
    )  # fmt: skip
    for name, file in zip(made.rows.ids, made.files, strict=False):
        (photos / f"{name}.png").write_bytes(file.read_bytes())
    space = open_index(made.index).space
    make_folder(tmp_path / "embeddings", rows, space=space)
    index, export = str(tmp_path / "index"), open_index(made.index).facts.export
    assert main(["index", f"{tmp_path}/embeddings", "--out", index, "--export", export]) == 0
    capsys.readouterr()
    query = rows.vectors[6]
    ranked = best(rows, query, by="text", modality="image")
    threshold = (ranked[2][1] + ranked[3][1]) / 2
    words = ["filter", index, TEXTS[0], "--threshold", f"{threshold:.6f}"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [f"{name}.png" for name, *_ in ranked[:3]]
    assert [line.rpartition("/")[2] for line in lines] == expected
    away = tmp_path / "away"
    away.mkdir()
    (away / expected[0]).write_text("mine")
    assert main([*words, "--copy", str(away)]) == 0
    first = expected[0].replace(".png", "-2.png")
    assert sorted(path.name for path in away.iterdir()) == sorted([*expected, first])
    assert (away / expected[0]).read_text() == "mine"
    assert main(["filter", index, TEXTS[0], "-k", "3", "--move", str(away)]) == 0
    assert len(list(photos.iterdir())) == 3
    for name in expected:
        moved = away / name.replace(".png", "-3.png" if name == expected[0] else "-2.png")
        assert moved.read_bytes() == (made.path / "photos" / name).read_bytes()
    capsys.readouterr()
    assert main(["filter", index, TEXTS[0], "-k", "3", "--move", str(away)]) == 0
    assert capsys.readouterr().err.count("no such file here; it is passed over") == 3


def test_near_duplicates_are_found_in_groups(made, capsys):
    assert main(["duplicates", str(made.index), "--threshold", "0.9999", "--json"]) == 0
    [group] = json.loads(capsys.readouterr().out)
    assert {each["id"] for each in group} == {"0", "again"}
    assert group[0]["cosine"] == pytest.approx(1, abs=1e-5)
    similar = made.rows.vectors @ made.rows.vectors.T - 2 * np.eye(11)
    threshold = float(np.sort(similar.ravel())[-12])  # six pairs, each twice
    assert main(["duplicates", str(made.index), "--threshold", f"{threshold:.6f}"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(listed) == (similar.max(axis=1) >= threshold - 1e-6).sum()


def test_rows_are_added_deleted_and_compacted_by_the_command(made, tmp_path, capsys):
    index, export = str(tmp_path / "index"), open_index(made.index).facts.export
    assert main(["index", f"{made.path}/embeddings", "--out", index]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{index}: 11 rows of first 1.")
    assert "1.000" in told
    (tmp_path / "ids.txt").write_text("text-2\nnone\n")
    assert main(["index", index, "--delete", str(tmp_path / "ids.txt")]) == 0
    assert capsys.readouterr().out == "1 of 2 ids deleted; 10 rows remain.\n"
    assert main(["index", index, "--compact", "--kind", "hnsw"]) == 2
    assert capsys.readouterr().err.startswith("mite: --kind is for a new index;")
    assert main(["index", index, "--compact"]) == 0
    assert main(["index", index, "--add", f"{made.path}/embeddings"]) == 0
    assert len(open_index(index)) == 11
    assert main(["search", index, TEXTS[0]]) == 2
    assert "name it: export=... (--export ...)" in capsys.readouterr().err
    assert main(["search", index, TEXTS[0], "--export", export]) == 0


def test_bad_queries_are_one_sentence(made, export_folder, encoder, tmp_path, capsys):
    index = str(made.index)
    large = tmp_path / "large.png"
    Image.new("1", (10_500, 10_000)).save(large, compress_level=1)
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "none.png").touch()
    for words, told in (
        ([index], "Search for a text, for an image"),
        ([index, "  "], "is empty: it holds no word"),
        ([index, "--image", "nowhere.png"], "nowhere.png: no such image file"),
        ([index, "--image", str(large)], "large.png: The bytes cannot be decoded as an image: the"),
        ([index, "--image", str(tmp_path / "none.png")], "none.png: is empty: 0 bytes."),
        ([index, "dog", "--text-weight", "2"], "text_weight must be 0 to 1"),
        ([index, "dog", "-k", "0"], "k must be at least 1"),
        ([index, "--queries", str(tmp_path / "empty.txt")], "empty.txt: holds no line"),
        ([f"{made.path}/of-others", "dog", "--export", str(export_folder)], "another model"),
        ([f"{made.path}/embeddings", "dog"], "`mite index"),
    ):
        assert main(["search", *words]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("mite: ")
        assert told in line
    assert main(["filter", index, "dog", "--threshold", "nan"]) == 2
    assert capsys.readouterr().err == "mite: threshold must be a number; received nan.\n"
    with pytest.raises(MiteError, match="another model"):
        search_collection(open_index(made.path / "of-others"), encoder, text="dog")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long, _ = encoder.embed("dog " * 10_000)
    np.testing.assert_allclose(long, encoder.embed("dog " * 12)[0], atol=1e-6)
    with pytest.warns(UnknownWordsWarning):
        encoder.embed("犬")
    assert main(["search", index, "犬"]) == 0
    assert capsys.readouterr().err.startswith("mite: The text '犬' holds no word that the model")


def test_an_index_without_rows_of_the_modality_is_told(made, tmp_path, capsys):
    index = shutil.copytree(made.index, tmp_path / "index")
    (tmp_path / "ids.txt").write_text("\n".join(made.rows.ids[:6]))
    assert main(["index", str(index), "--delete", f"{tmp_path}/ids.txt"]) == 0
    capsys.readouterr()
    for words in (["search", "dog", "--modality", "image"], ["filter", "dog", "-k", "2"]):
        assert main([words[0], str(index), *words[1:]]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == f"mite: {index}: holds no pictures to find, of 5 rows in all.\n"
    assert main(["filter", str(index), "dog", "--threshold", "0"]) == 0
    assert capsys.readouterr().err == "0 match.\n"


def test_a_page_shows_pictures_inside_of_tars_and_names_those_that_are_gone(made, tmp_path):
    write_tar(tmp_path / "00.tar", {"7.png": made.files[3].read_bytes()})
    paths = [*made.rows.paths]
    paths[3], paths[4] = f"{tmp_path}/00.tar!7.png", f"{tmp_path}/gone.png"
    space = open_index(made.index).space
    make_folder(tmp_path / "embeddings", made.rows._replace(paths=paths), space=space)
    index, export = str(tmp_path / "index"), open_index(made.index).facts.export
    assert main(["index", f"{tmp_path}/embeddings", "--out", index, "--export", export]) == 0
    page = tmp_path / "found.html"
    words = ["search", index, "dog", "--modality", "image", "-k", "6", "--html", str(page)]
    assert main(words) == 0
    text = page.read_text("utf-8")
    assert text.count("<img") == 5
    assert thumbnail_of(made.files[3].read_bytes()) in text
    assert f"{tmp_path}/gone.png</p>" in text


def test_searching_an_index_loads_no_tensorflow(made, run_python):
    script = (
        "import sys; from mite_tf.cli import main\n"
        "assert main(['search', sys.argv[1], 'a dog']) == 0\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'grpc', 'pymilvus', 'sklearn', 'gradio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = run_python(script, made.index)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
