"""What there is to embed: from everywhere the same items, in a fixed order."""

import json
import os
import re
import sys
import tarfile

import fsspec
import pytest

from mite_tf.collection import read_picture
from mite_tf.collection.places import absolute
from mite_tf.collection.sources import Item, items_of
from mite_tf.errors import MiteError
from tests.collection.conftest import CAPTIONS, picture, write_parquet, write_tar

NAMES = ["a.png", "b.jpg", "more/c.bmp", "more/d.GIF", "more/é f.webp"]


def images(*sources):
    return list(items_of([absolute(each) for each in sources], []))


def texts(*sources):
    return list(items_of([], [absolute(each) for each in sources]))


def test_a_folder_gives_its_pictures_in_order_and_nothing_that_programs_hide(photos, tmp_path):
    (tmp_path / "here").symlink_to(photos)
    (tmp_path / "loop").symlink_to(tmp_path)
    for name in (".hidden.jpg", "._a.jpg", "~$b.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "a.jpg").touch()
    found = images(tmp_path)
    assert [item.id for item in found] == [f"here/{name}" for name in NAMES]
    assert [item.picture for item in images(photos)] == [str(photos / name) for name in NAMES]
    assert images(f"file://{photos}") == images(photos)


def test_a_pattern_names_pictures_relative_to_its_fixed_part(photos):
    assert [item.id for item in images(f"{photos}/**/*.[bG]*")] == NAMES[2:4]
    assert [item.id for item in images(f"{photos}/*/c.bmp", photos / "a.png")] == [
        "more/c.bmp", "a.png",
    ]  # fmt: skip


def test_pictures_behind_a_url_are_those_of_a_folder(photos):
    files = fsspec.filesystem("memory")
    for path in (*photos.rglob("*.*"), photos / ".hidden.jpg"):
        files.pipe(f"/bucket/{path.name}", path.read_bytes() if path.exists() else b"x")
    found = images("memory://bucket")
    assert [item.id for item in found] == sorted(name.rpartition("/")[2] for name in NAMES)
    assert found == images("memory://bucket/*.*")
    assert read_picture(found[0].picture) == (photos / "a.png").read_bytes()
    files.pipe("/bucket/list.csv", b"path,caption\na.png,one\nmemory://bucket/b.jpg,two\n")
    listed = images("memory://bucket/list.csv")
    assert [item.picture for item in listed] == ["memory://bucket/a.png", "memory://bucket/b.jpg"]
    assert [read_picture(item.picture) for item in listed] == [
        (photos / name).read_bytes() for name in NAMES[:2]
    ]


LISTS = {
    "plain.txt": "a.png\n\nmore/c.bmp\na.png\n",
    "lines.jsonl": '{"image": "a.png", "captions": ["one", "two"]}\n"more/c.bmp"\n'
    '{"file_name": "./a.png", "text": "three"}\n',
    "table.csv": 'Image,caption_0,caption_1\na.png,one,"two"\nmore/c.bmp,,\na.png,three,one\n',
    "table.tsv": "split\tpath\tsentence\ndev\ta.png\tone\ndev\tmore/c.bmp\t\n"
    "dev\ta.png\ttwo\ndev\ta.png\tthree\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_pictures_beside_it_and_joins_the_rows_of_one(photos, name):
    path = photos.parent / name
    path.write_text(LISTS[name], encoding="utf-8-sig")
    captions = () if name == "plain.txt" else ("one", "two", "three")
    assert images(path) == [
        Item("a.png", str(photos.parent / "a.png"), captions),
        Item("more/c.bmp", str(photos.parent / "more/c.bmp")),
    ]


def test_a_tar_gives_pictures_with_the_caption_of_their_key(tmp_path):
    members = {
        "x/1.jpg": picture(1, "JPEG"), "x/1.txt": b"a dog\n runs ", "x/1.json": b"{}",
        "x/2.seg.png": picture(2), "x/3.txt": b"no picture", "._x/1.jpg": b"x",
    }  # fmt: skip
    write_tar(tmp_path / "00.tar", members)
    for source in (tmp_path / "00.tar", tmp_path):
        first, second = images(source)
        assert (first.id, first.texts) == ("00.tar/x/1.jpg", ("a dog runs",))
        assert (second.picture, second.texts) == (f"{tmp_path}/00.tar!x/2.seg.png", ())
    assert read_picture(first.picture) == members["x/1.jpg"]
    with (tmp_path / "00.tar").open("rb") as file:
        file.seek(second.start)
        assert file.read(second.size) == members["x/2.seg.png"]


def test_a_parquet_file_gives_rows_or_the_paths_it_lists(tmp_path):
    write_parquet(tmp_path / "data.parquet", captions=[[each, "more"] for each in CAPTIONS])
    found = images(tmp_path / "data.parquet")
    assert [item.id for item in found] == [f"data.parquet/{row}" for row in range(5)]
    assert found[3].texts == (CAPTIONS[3], CAPTIONS[3], "more")
    assert read_picture(found[3].picture) == picture(3)
    assert texts(tmp_path / "data.parquet")[4].id == "data.parquet:5"
    write_parquet(tmp_path / "list.parquet", image=[f"{row}.png" for row in range(5)])
    assert images(tmp_path / "list.parquet")[2] == Item(
        "2.png", f"{tmp_path}/2.png", (CAPTIONS[2],)
    )
    assert [item.id.partition("/")[0] for item in images(tmp_path)] == ["data.parquet"] * 5


def test_texts_are_named_by_file_and_line(tmp_path):
    for name, content in {
        "a.txt": "a dog\n\n  a cat \n", "b.csv": 'text,n\n"a, dog\nruns",1\na cat,2\n',
        "c.jsonl": '{"caption": "a dog"}\n"a cat"\n',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(content)
    found = {item.id: item.texts for item in texts(*tmp_path.iterdir())}
    assert found == {
        "a.txt:1": ("a dog",), "a.txt:3": ("a cat",), "b.csv:2": ("a, dog\nruns",),
        "b.csv:4": ("a cat",), "c.jsonl:1": ("a dog",), "c.jsonl:2": ("a cat",),
    }  # fmt: skip


def test_what_is_broken_is_an_item_with_its_fault_and_the_rest_is_kept(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a dog\na \xff cat\n")
    (tmp_path / "b.jsonl").write_text('{"text": "a"}\n{"text": \n[1]\n{"text": " "}\n')
    (tmp_path / "c.csv").write_text("text,n\na,1\nb\nc,3\n")
    found = {item.id: item.fault for item in texts(*sorted(tmp_path.iterdir()))}
    assert found == {
        "a.txt:1": None, "a.txt:2": "its name or text is not UTF-8", "b.jsonl:1": None,
        "b.jsonl:2": "is no JSON", "b.jsonl:3": "is no JSON object", "b.jsonl:4": "holds no text",
        "c.csv:2": None, "c.csv:3": "has 1 cells, and the header 2", "c.csv:4": None,
    }  # fmt: skip
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_tar(folder / "1.tar", {f"{number}.png": picture(number) for number in range(3)})
    cut = (folder / "1.tar").read_bytes()
    (folder / "1.tar").write_bytes(cut[: tarfile.BLOCKSIZE + 100])
    (folder / "2.tar").write_bytes(b"no tar")
    (folder / "3.parquet").write_bytes(b"no table")
    (folder / os.fsdecode(b"4\xff.jpg")).touch()
    faults = {item.id: item.fault for item in images(folder)}
    assert list(faults) == ["1.tar/0.png", "1.tar", "2.tar", "3.parquet", "4\\udcff.jpg"]
    assert faults["1.tar"] == "is no whole tar: unexpected end of data"
    assert faults["2.tar"].startswith("is no whole tar: ")
    assert "3.parquet: cannot be read: Parquet magic bytes not found" in faults["3.parquet"]


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("images", "none", None, "none: does not exist. Name a file"),
        ("images", "x.doc", b"x", "x.doc: is neither a picture nor a list"),
        ("images", "x.csv", b"text\na\n", "x.csv: has no column image or path; it has text"),
        ("images", "x.txt", b"\n", "x.txt: names no picture"),
        ("images", "no*", None, "holds no picture"),
        ("images", "moon://x", None, "moon://x: cannot be opened: Protocol not known: moon"),
        ("images", "s3://b/x", None, "s3://b/x needs s3fs, which is not installed. Install"),
        (
            "images",
            "gs://b/x",
            None,
            "gs://b/x needs gcsfs, which is not installed. Install",
        ),
        ("images", "x.tar", bytes(10240), "x.tar: holds no picture"),
        ("texts", ".", None, "is no file"),
        ("texts", "x.csv", b"image\na\n", "x.csv: has no column caption or text; it has image"),
        ("texts", "x.txt", b"", "x.txt: holds no text"),
        ("texts", "x.txt", "a".encode("utf-16"), "x.txt: is UTF-16. Save it as UTF-8"),
        ("texts", "x.txt", b"version https://git-lfs.github.com/", "run `git lfs pull`"),
        ("texts", "x.jpg", b"x", "x.jpg: is no list of texts"),
    ],
)
def test_a_source_that_is_of_no_use_is_told(tmp_path, monkeypatch, kind, name, content, message):
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = name if "://" in name else tmp_path / name
    with pytest.raises(MiteError, match=re.escape(message)):
        (images if kind == "images" else texts)(source)


def test_one_id_for_two_things_is_told_and_one_thing_named_twice_is_one(photos, tmp_path):
    assert images(photos / "a.png", photos) == images(photos / "a.png", f"{photos}/*.jpg", photos)
    (tmp_path / "a.png").touch()
    with pytest.raises(MiteError, match=r"a.png: stands for two things"):
        images(tmp_path, photos)
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text(json.dumps("a dog"))
    with pytest.raises(MiteError, match=r"a.jsonl:1: stands for two things"):
        texts(tmp_path / "1" / "a.jsonl", tmp_path / "2" / "a.jsonl")
