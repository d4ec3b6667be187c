"""A collection to embeddings: the right ones, the same whoever makes them, none lost or twice."""

import json
import os
import re
import shutil
from itertools import chain

import fsspec
import numpy as np
import pyarrow.parquet
import pytest

from mite_tf.cli import main
from mite_tf.collection import embed_collection, read_picture
from mite_tf.errors import MiteError
from mite_tf.export.manifest import read_manifest
from mite_tf.files import locked
from mite_tf.retrieval import HubCorrection
from mite_tf.retrieval.embedding_files import EmbeddingFolder
from mite_tf.serving import EmbeddingClient
from tests.collection.conftest import CAPTIONS, contents_of, picture, write_parquet, write_tar

NAMES = ["a.png", "b.jpg", "more/c.bmp", "more/d.GIF", "more/é f.webp"]


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(CAPTIONS))
    return path


def rows_of(folder):
    """All rows of a folder, in one."""
    parts = list(EmbeddingFolder.read(folder).rows())
    columns = [list(chain(*each)) for each in zip(*(p[:4] for p in parts), strict=True)]
    return (*columns, np.concatenate([p.vectors for p in parts]), parts)


def test_rows_hold_what_a_server_answers_and_what_opens_the_picture_again(
    export, export_with_bank, photos, captions, tmp_path
):
    out = tmp_path / "out"
    made = embed_collection(
        export_with_bank, out, images=photos, texts=captions, shard_size=4, processes=1
    )
    assert made[1:4] == (5, 5, 0)
    ids, modalities, paths, texts, vectors, parts = rows_of(out)
    assert ids == [*NAMES, *(f"captions.txt:{line}" for line in range(1, 6))]
    assert modalities == ["image"] * 5 + ["text"] * 5
    assert texts == [*[None] * 5, *CAPTIONS]
    files = [read_picture(path) for path in paths[:5]]
    assert files == [(photos / name).read_bytes() for name in NAMES]
    with EmbeddingClient.local(export_with_bank) as client:
        served = np.concatenate([client.embed_images(files), client.embed_text(CAPTIONS)])
    np.testing.assert_allclose(vectors, served, atol=1e-6)
    truth = np.concatenate([export.keras.images(files), export.keras.text(CAPTIONS)])
    np.testing.assert_allclose(vectors, truth, atol=5e-3)
    hubs = HubCorrection.load(export_with_bank / "hubs.npz")
    for column, queries in (("image_bias", "image"), ("text_bias", "caption")):
        found = np.concatenate([getattr(each, column) for each in parts])
        np.testing.assert_array_equal(found, hubs.bias(vectors, queries=queries))
    others = {"image": hubs.captions, "text": hubs.images}
    for name, queries in (("image", "image"), ("text", "caption")):
        centre = hubs.bias(others[name], queries=queries).mean(dtype=np.float64)
        assert made.folder.centres[name] == pytest.approx(centre)
    assert made.folder.space == read_manifest(export_with_bank).space
    assert list(made.folder.shards.values()) == [4, 6]  # sixteen texts count as a picture


def test_the_result_is_the_same_to_the_byte_with_any_number_of_processes(
    export_with_bank, photos, captions, tmp_path
):
    (tmp_path / "photos").mkdir()
    for number in range(9):
        (tmp_path / "photos" / f"{number}.png").write_bytes(picture(number))
    (tmp_path / "photos" / "3.png").write_bytes(b"")
    for processes in (1, 2):
        embed_collection(
            export_with_bank, tmp_path / f"{processes}", images=tmp_path / "photos",
            texts=captions, shard_size=2, processes=processes,
        )  # fmt: skip
    first = contents_of(tmp_path / "1")
    assert contents_of(tmp_path / "2") == first
    assert len(first) == 5 + 3  # with plan, summary and failures; no lock or draft is left


def test_pictures_of_a_tar_a_table_a_list_and_a_url_embed_as_their_files(
    export_with_bank, tmp_path
):
    files = {f"{number}.png": picture(number) for number in range(5)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        fsspec.filesystem("memory").pipe(f"/embed/{name}", data)
    captions = {f"{number}.txt": each.encode() for number, each in enumerate(CAPTIONS)}
    write_tar(tmp_path / "a.tar", files | captions)
    write_parquet(tmp_path / "b.parquet")
    lines = ({"path": name, "text": each} for name, each in zip(files, CAPTIONS, strict=True))
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    sources = {
        "list": tmp_path / "c.jsonl", "tar": tmp_path / "a.tar", "table": tmp_path / "b.parquet",
        "url": "memory://embed",
    }  # fmt: skip
    found = {}
    for name, source in sources.items():
        embed_collection(
            export_with_bank, tmp_path / name, images=source, processes=1, shard_size=3
        )
        found[name] = rows_of(tmp_path / name)
    ids, modalities, _, texts, vectors, _ = found["list"]
    assert ids == [f"{number}.png{part}" for number in range(5) for part in ("", "#0")]
    assert modalities == ["image", "text"] * 5
    assert texts[1::2] == CAPTIONS
    for name in ("tar", "table"):
        assert found[name][1:2] == found["list"][1:2]
        np.testing.assert_array_equal(found[name][4], vectors)
        for path, data in zip(found[name][2][::2], files.values(), strict=True):
            assert read_picture(path) == data
    np.testing.assert_allclose(found["url"][4], vectors[::2], atol=1e-6)
    embed_collection(
        export_with_bank, tmp_path / "fused", images=tmp_path / "a.tar", fuse=True, processes=1
    )
    _, modalities, paths, texts, fused, _ = rows_of(tmp_path / "fused")
    assert (modalities, texts) == (["fused"] * 5, CAPTIONS)
    assert paths[0] == f"{tmp_path}/a.tar!0.png"
    sums = vectors[::2] + vectors[1::2]
    np.testing.assert_allclose(fused, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-6)


def test_clip_retrieval_reads_pairs_from_its_folders(export_with_bank, photos, captions, tmp_path):
    write_parquet(tmp_path / "b.parquet")
    how = {"layout": "clip-retrieval", "processes": 1, "quiet": True}
    embed_collection(export_with_bank, tmp_path / "b", images=tmp_path / "b.parquet", **how)
    embed_collection(export_with_bank, tmp_path / "p", images=photos, dtype="float16", **how)
    vectors = rows_of(tmp_path / "b")[4]
    for kind, own in (("img", vectors[::2]), ("text", vectors[1::2])):
        stored = np.load(tmp_path / "b" / f"{kind}_emb" / f"{kind}_emb_0.npy")
        assert stored.dtype == np.float16
        np.testing.assert_array_equal(stored, own.astype(np.float16))
    metadata = pyarrow.parquet.read_table(tmp_path / "b" / "metadata" / "metadata_0.parquet")
    assert metadata.to_pydict() == {
        "image_path": [f"{tmp_path}/b.parquet!{row}" for row in range(5)], "caption": CAPTIONS,
    }  # fmt: skip
    assert EmbeddingFolder.read(tmp_path / "p").dtype == "float16"
    metadata = pyarrow.parquet.read_table(tmp_path / "p" / "metadata" / "metadata_0.parquet")
    assert metadata.to_pydict() == {"image_path": [str(photos / name) for name in NAMES]}
    assert not (tmp_path / "p" / "text_emb").exists()
    with pytest.raises(MiteError, match="10 pictures or texts stand alone"):
        embed_collection(export_with_bank, tmp_path / "x", images=photos, texts=captions, **how)


def test_what_is_bad_is_listed_skipped_and_counted(export_with_bank, photos, tmp_path, capsys):
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "empty.jpg").touch()
    (folder / "more" / "cut.png").write_bytes(picture(1)[:-40])
    (folder / "more" / "new.heic").write_bytes(b"\0\0\0 ftypheic")
    os.mkfifo(folder / "pipe.png")
    (tmp_path / "texts.jsonl").write_text('{"text": "a dog"}\n{\n')
    words = ["embed", export_with_bank, "--images", folder, "--texts", tmp_path / "texts.jsonl"]
    words = [*map(str, words), "--processes", "1", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert re.fullmatch(
        rf"{tmp_path}/out: 5 pictures, 1 texts, 5 skipped \(see failures.jsonl in it\), "
        r"[\d.]+ s, [\d.]+ images/s\n", told,
    )  # fmt: skip
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    why = {each["id"]: each["reason"] for each in map(json.loads, lines)}
    assert list(why) == [
        "empty.jpg", "more/cut.png", "more/new.heic", "pipe.png", "texts.jsonl:2",
    ]  # fmt: skip
    assert why["empty.jpg"] == "is empty"
    assert "truncated" in why["more/cut.png"]
    assert why["pipe.png"] == "cannot be read: It is a pipe, a socket or a device"
    assert why["texts.jsonl:2"] == "is no JSON"
    assert main(words) == 0  # again: it is complete
    assert "5 pictures, 1 texts, 5 skipped" in capsys.readouterr().out
    for path in folder.rglob("*.*"):
        if path.name not in ("empty.jpg", "pipe.png"):
            path.unlink()
    assert main([*words[:4], "--processes", "1", "--out", str(tmp_path / "none")]) == 2
    assert "none: none of 2 could be embedded. The first, empty.jpg: is empty. See failures" in (
        told := capsys.readouterr().err
    )
    assert "begin anew with fresh=True (--fresh) when that is mended" in told
    with pytest.raises(MiteError, match="not complete"):
        EmbeddingFolder.read(tmp_path / "none")


def test_the_share_of_unknown_words_is_told_at_the_end(export_with_bank, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("a red dog\n犬 runs\n", "utf-8")
    words = ["embed", str(export_with_bank), "--texts", f"{tmp_path}/texts.txt"]
    for _ in range(2):  # the second time nothing is embedded any more
        assert main([*words, "--out", f"{tmp_path}/out", "--processes", "1"]) == 0
        share, warning = capsys.readouterr().err.splitlines()
        assert share == "Unknown words: 20.0% of those of the texts."
        assert warning.startswith("Warning: an unknown word says nothing")
    (tmp_path / "texts.txt").write_text("a red dog\n")
    assert main([*words, "--out", f"{tmp_path}/known", "--processes", "1"]) == 0
    assert capsys.readouterr().err == ""


def test_a_place_that_is_no_folder_is_told_without_advice_to_go_on(
    export_with_bank, photos, captions, capsys
):
    words = ["embed", str(export_with_bank), "--images", str(photos)]
    assert main([*words, "--out", str(captions)]) == 2
    told = f"mite: {captions}: File exists. A file lies where a folder is needed.\n"
    assert capsys.readouterr().err == told


def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    export, export_with_bank, photos, tmp_path
):
    def told(message, *arguments, **options):
        out = tmp_path / "none"
        with pytest.raises(MiteError, match=re.escape(message)):
            embed_collection(*(arguments or (export_with_bank, out)), **options)
        assert not out.exists()

    (tmp_path / "empty").mkdir()
    told("There is nothing to embed. Give images=... (--images ...)")
    told("empty: holds no picture", images=tmp_path / "empty")
    told("Unknown engine 'dask'", images=photos, engine="dask")
    told("shard_size=0", images=photos, shard_size=0)
    told("needs engine='ray' (--engine ray)", images=photos, ray_address="auto")
    told("does not say which space", export.path, tmp_path / "none", images=photos)
    told("photos: is a folder of images", photos, tmp_path / "none", images=photos)
    told("not empty and no embeddings", export_with_bank, photos, images=photos)


def test_another_call_into_the_folder_is_refused_and_says_what_differs(
    export_with_bank, photos, captions, tmp_path
):
    out, again = tmp_path / "out", {"processes": 1, "quiet": True}
    embed_collection(export_with_bank, out, images=photos, texts=captions, **again)
    before = contents_of(out)

    def told(message, export=export_with_bank, images=photos, texts=captions, **options):
        with pytest.raises(MiteError, match=re.escape(message)):
            embed_collection(export, out, images=images, texts=texts, **again | options)
        assert {**contents_of(out), ".lock": b""} == {**before, ".lock": b""}

    told(f"was begun with images={photos}, not {photos}/more.", images=photos / "more")
    told("was begun with texts=", texts=())
    told("was begun with dtype='float32', not 'float16'", dtype="float16")
    told("was begun with fuse=False, not True", fuse=True)
    other = shutil.copytree(export_with_bank, tmp_path / "other")
    (other / "manifest.json").write_text(
        (other / "manifest.json")
        .read_text()
        .replace(space := read_manifest(other).space, space[::-1])
    )
    told("another model", export=other)
    with captions.open("a") as file:
        file.write("\none more")
    told("there are other pictures or texts now")
    with locked(out / ".lock"):
        told("another `mite embed` writes there")
    made = embed_collection(export_with_bank, out, images=photos, fresh=True, **again)
    assert (made.pictures, made.texts, len(made.folder)) == (5, 0, 5)


def test_no_tensorflow_is_loaded(export_with_bank, photos, tmp_path, run_python):
    script = """
import sys
from mite_tf.cli import main
assert main(["embed", sys.argv[1], "--images", sys.argv[2], "--out", sys.argv[3]]) == 0
assert not {"tensorflow", "keras", "ray", "faiss"} & set(sys.modules)
"""
    done = run_python(script, export_with_bank, photos, tmp_path / "out")
    assert done.returncode == 0, done.stderr
