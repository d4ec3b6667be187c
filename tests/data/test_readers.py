"""Choosing a reader, and what holds for all of them."""

import csv
import json
import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mite_tf.data import read
from mite_tf.data.collector import is_blank
from mite_tf.errors import MiteError
from mite_tf.text import split_words

WORDLESS = ("\u200b\u200b", "\x01\x7f", "\ufe0f", "\u0301\u0323", "\ufeff", "\u3164")


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "folder", "flickr", "karpathy", "coco"])
def test_captions_without_a_word_are_empty_in_every_format(write, told, format):
    captions = [*WORDLESS, "犬", "!", "1"]
    names = [f"{number}.jpg" for number in range(len(captions))]
    pairs = list(zip(names, captions, strict=True))
    rows = [{"filename": n, "split": "train", "sentences": [{"raw": t}]} for n, t in pairs]
    coco = {
        "images": [{"id": n, "file_name": n} for n in names],
        "annotations": [{"image_id": n, "caption": t} for n, t in pairs],
    }
    files = {
        "csv": {"c.csv": "image,caption\n" + "".join(f"{n},{t}\n" for n, t in pairs)},
        "tsv": {"c.tsv": "image\tcaption\n" + "".join(f"{n}\t{t}\n" for n, t in pairs)},
        "jsonl": {
            "c.jsonl": "".join(json.dumps({"image": n, "caption": t}) + "\n" for n, t in pairs)
        },
        "folder": dict.fromkeys(names, "") | {n.replace("jpg", "txt"): f"\n{t}" for n, t in pairs},
        "flickr": {"x.token": "".join(f"{n}#0\t{t}\n" for n, t in pairs)},
        "karpathy": {"dataset_x.json": json.dumps({"images": rows})},
        "coco": {"captions_train2017.json": json.dumps(coco)},
    }
    found = read(write(files[format]), format=format)
    assert found.captions == captions[len(WORDLESS) :]
    assert [kind for kind, _, _ in told(found)] == ["empty-caption"] * len(WORDLESS)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_two_formats_ask_for_a_choice(tmp_path, write):
    write({"c.csv": "image,caption\na.jpg,A.\n", "x.jsonl": '{"image": "b.jpg"}\n'})
    with pytest.raises(MiteError, match=r"csv \(c.csv\), jsonl \(x.jsonl\).*--format csv"):
        read(tmp_path)
    assert read(tmp_path, format="csv").image_ids == ["a.jpg"]


def test_files_beside_images_yield_to_a_table(tmp_path, write):
    files = {"a.jpg": "", "a.txt": "Beside.", "c.csv": "image,caption\na.jpg,In the table.\n"}
    assert read(write(files)).captions == ["In the table."]
    assert read(tmp_path, format="folder").captions == ["Beside."]


def test_nothing_known_tells_what_was_looked_for_and_found(tmp_path, write):
    write({"notes.doc": "", "sub/x.bin": "", "other.csv": "a,b\n1,2\n"})
    with pytest.raises(MiteError) as caught:
        read(tmp_path)
    message = str(caught.value)
    for name in ("flickr", "karpathy", "coco", "csv", "tsv", "jsonl", "folder"):
        assert f"\n  {name} " in message
    assert "Found: notes.doc, other.csv (its header is 'a,b'), sub/." in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "file\ttext\n", r"its header is 'file\\ttext'"),
        ("Captions.TXT", "file,text\n", "its header is 'file,text'"),
        ("x.json", '[{"file": "a.jpg"}]', "holds a list of objects with the keys file"),
        ("x.json", '{"images": [], "captions": []}', "holds the keys images, captions"),
        (".captions.csv", "image,caption\n", "nothing but 1 hidden file, which is never"),
        ("captions.csv", LFS, r"captions.csv is a Git LFS pointer.*`git lfs pull`"),
    ],
)
def test_captions_of_another_form_are_shown_with_theirs(tmp_path, write, name, content, message):
    write({name: content})
    with pytest.raises(MiteError, match=message):
        read(tmp_path)
    if not name.startswith("."):
        with pytest.raises(MiteError, match=message):
            read(tmp_path, format="jsonl")


# One image with one caption, in each way to write it down.
ONE = {
    "flickr": {"x.token": "a.jpg#0\tA dog.\n", "train.txt": "a.jpg\n"},
    "karpathy": {
        "dataset.json": '{"images": [{"filename": "a.jpg", "sentences": [{"raw": "A dog."}]}]}'
    },
    "coco": {
        "captions_x.json": '{"images": [{"id": 1, "file_name": "a.jpg"}],'
        ' "annotations": [{"image_id": 1, "caption": "A dog."}]}'
    },
    "csv": {"c.csv": "image,caption\na.jpg,A dog.\n"},
    "tsv": {"c.tsv": "image\tcaption\na.jpg\tA dog.\n"},
    "jsonl": {"c.jsonl": '{"image": "a.jpg", "caption": "A dog."}\n'},
    "folder": {"a.txt": "A dog.\n"},
}


@pytest.mark.parametrize("format", ONE)
def test_hidden_names_are_no_data(tmp_path, write, format):
    files = ONE[format]
    old = {name: text.replace("A dog.", "Old.") for name, text in files.items()}
    hidden = {"a.jpg": "", ".trash/a.jpg": "", "__MACOSX/b.jpg": "", "@eaDir/b.jpg": ""}
    for name in files:
        hidden |= {f".{name}": old[name], f"~${name}": old[name], f"._{name}": b"\0\5\x16\7"}
        hidden |= {f".trash/{name}": old[name], f"__MACOSX/._{name}": b"\0\5\x16\7"}
        hidden |= {f"{name}~": old[name], f"{name}.bak": old[name], f"#{name}#": old[name]}
    hidden |= {f"folder.{next(iter(files))}/x": "", "captions_old.json/x": "", "old.csv/x": ""}
    hidden |= {".train.txt": "b.jpg\n", "._a.jpg": "", "Thumbs.db": "", "desktop.ini": ""}
    table = read(write({**hidden, **files}))
    assert (table.format, table.image_ids, table.captions) == (format, ["a.jpg"], ["A dog."])
    assert (table.problems, table.root) == ((), tmp_path)


def test_a_hidden_file_or_folder_that_is_named_is_read(tmp_path, write):
    write({".c.csv": "image,caption\n.x/a.jpg,A.\n", ".x/a.jpg": "", ".x/a.txt": "B.\n"})
    assert read(tmp_path / ".c.csv").image_ids == [".x/a.jpg"]
    assert read(tmp_path / ".x").captions == ["B."]


@pytest.mark.parametrize("format", sorted(set(ONE) - {"csv", "tsv"}))
def test_a_pointer_of_git_lfs_is_called_so(write, format):
    name = next(iter(ONE[format]))
    table = read(write({**ONE[format], name: LFS, "a.jpg": ""}))
    assert (table.captions, table.problems[0].kind) == ([], "git-lfs-pointer")
    assert "run `git lfs pull`" in table.problems[0].message


@pytest.mark.parametrize("format", sorted(set(ONE) - {"folder"}))
def test_the_case_of_names_and_suffixes_does_not_matter(write, format):
    files = {name.upper(): content for name, content in ONE[format].items()}
    assert read(write({**files, "a.jpg": ""})).captions == ["A dog."]


def test_one_image_under_several_names_is_one_row(tmp_path, write, rows, told):
    names = [
        "./a.jpg",
        "a.jpg",
        f"{tmp_path}//x/../a.jpg",
        "b.jpg",
        "x\\c.jpg",
        "x/c.jpg",
        "link.jpg",
    ]
    names += ["\u00e9.jpg", "e\u0301.jpg", "A.jpg"]
    text = "".join(f"{name},{number}.\n" for number, name in enumerate(names))
    write({"c.csv": f"image,caption\n{text}", **dict.fromkeys(["a.jpg", "b.jpg", "x/c.jpg"], "")})
    write({"\u00e9.jpg": ""})
    (tmp_path / "link.jpg").symlink_to(tmp_path / "b.jpg")
    table = read(tmp_path)
    assert [(image, captions) for image, captions, _ in rows(table)] == [
        ("a.jpg", ["0.", "1.", "2."]),
        ("b.jpg", ["3.", "6."]),
        ("x/c.jpg", ["5.", "4."]),
        ("\u00e9.jpg", ["7.", "8."]),
        ("A.jpg", ["9."]),  # may be another picture, lost where case does not count: missing
    ]
    assert told(table) == [("image-named-twice", "c.csv", line) for line in (3, 4, 10, 8, 6)]
    assert "a.jpg names the same file as ./a.jpg (in line 2)" in table.problems[0].message
    assert r"'e\u0301.jpg' names the same file as '\xe9.jpg'" in table.problems[2].message


@pytest.mark.parametrize(("named", "there"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_accents_of_a_name_may_be_written_otherwise_on_disk(write, named, there):
    table = read(write({"c.csv": f"image,caption\n{named}.jpg,A.\n", f"{there}.jpg": ""}))
    assert (table.image_ids, table.problems) == ([f"{there}.jpg"], ())


def test_one_file_in_two_splits_is_told_whatever_its_names(tmp_path, write, rows, told):
    write({"c.csv": "image,caption,split\na.jpg,A.,test\nb.jpg,B.,train\n", "a.jpg": ""})
    (tmp_path / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    table = read(tmp_path)
    assert rows(table) == [("a.jpg", ["A.", "B."], "test")]
    assert [kind for kind, _, _ in told(table)] == ["image-named-twice", "image-in-two-splits"]


def test_paths_from_the_base_and_from_the_images_are_one(tmp_path, write, rows):
    names = ["a.jpg", "b.jpg", tmp_path / "Images" / "a.jpg", tmp_path / "Images" / "c.jpg"]
    text = "".join(f"{name},{number}.\n" for number, name in enumerate(names))
    files = {f"Images/{letter}.jpg": "" for letter in "abc"}
    table = read(write({**files, "c.csv": f"image,caption\n{text}"}))
    assert {image: captions for image, captions, _ in rows(table)} == {
        "a.jpg": ["0.", "2."],
        "b.jpg": ["1."],
        "c.jpg": ["3."],
    }


MISSING = ["", "nan", "NaN", "None", "null", "<NA>"]


def test_what_stands_for_no_value_is_no_caption_and_no_split(write, told):
    lines = [f"a.jpg,{each},{each}" for each in MISSING]
    table = read(
        write({"c.csv": "\n".join(["image,caption,split", *lines, "a.jpg,A nan.,NaN", "nan,B.,"])})
    )
    blank = [("empty-caption", "c.csv", line) for line in range(2, 8)]
    assert told(table) == [*blank, ("malformed-row", "c.csv", 9)]
    assert (table.captions, table.hashed_splits) == (["A nan."], True)
    assert "None stands for a missing value" in table.problems[3].message


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("null", "empty-caption", "a.jpg has an empty caption: null stands"),
        ("NaN", "empty-caption", "a.jpg has an empty caption: nan stands"),
        ("7.5", "malformed-row", "a.jpg: caption 7.5 is a number, not a text in quotes"),
        ("true", "malformed-row", "caption True is true or false, not"),
        ('{"en": "A."}', "malformed-row", "caption {'en': 'A.'} is an object, not"),
    ],
)
def test_values_that_are_no_text(write, value, kind, message):
    table = read(write({"c.jsonl": f'{{"image": "a.jpg", "caption": {value}, "split": NaN}}'}))
    [problem] = table.problems
    assert problem.kind == kind
    assert message in problem.message


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("empty", {}, "the folder is empty"),
        ("a.jpg", {}, "a.jpg: is an image file, not captioned images"),
        ("a.json", {}, "Found: the file a.json"),
        ("nowhere", {}, "does not exist"),
        (".", {"format": "xml"}, "Unknown format 'xml'; known: flickr"),
        (".", {"format": "tsv"}, r"in the format tsv.\nLooked for: \*.tsv"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path, write, path, options, message):
    write({"a.jpg": "x", "a.json": "{}"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(MiteError, match=message):
        read(tmp_path / path, **options)


def test_a_single_file_in_a_format_that_its_name_does_not_tell(tmp_path, write):
    write({"list.data": '{"image": "a.jpg", "caption": "A."}\n'})
    assert read(tmp_path / "list.data", format="jsonl").captions == ["A."]


def test_a_file_or_a_folder_that_may_not_be_read(tmp_path, write, told, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    write({"c.jsonl": "{}"})
    monkeypatch.setattr(Path, "read_bytes", refuse)
    table = read(tmp_path)
    assert told(table) == [("unreadable-file", "c.jsonl", None)]
    assert "Permission denied" in table.problems[0].message
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(MiteError, match=f"{tmp_path} cannot be read: Permission denied"):
        read(tmp_path)


characters = st.characters(exclude_categories=["Cs"])
captions = (
    st.text(characters, min_size=1)
    .map(str.strip)
    .filter(lambda text: split_words(text) and not is_blank(text))
)
corpora = st.dictionaries(
    st.from_regex(r"[a-zäß犬]{1,5}( [0-9,\"']{1,3})?\.jpg", fullmatch=True),
    st.tuples(
        st.lists(captions, min_size=1, max_size=4), st.sampled_from(["train", "dev", "test"])
    ),
    min_size=1,
    max_size=5,
)
round_trip = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@round_trip
@given(corpora, st.booleans())
def test_tables_and_json_lines_round_trip(tmp_path, rows, corpus, ascii):
    with (
        (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as table,
        (tmp_path / "c.jsonl").open("w", newline="", encoding="utf-8") as lines,
    ):
        writer = csv.writer(table)
        writer.writerow(["image", "caption", "split"])
        for image, (sentences, split) in corpus.items():
            writer.writerows([image, sentence, split] for sentence in sentences)
            row = {"image": image, "captions": sentences, "split": split}
            lines.write(json.dumps(row, ensure_ascii=ascii) + "\n")
    expected = [(image, sentences, split) for image, (sentences, split) in corpus.items()]
    assert rows(read(tmp_path / "c.csv")) == rows(read(tmp_path / "c.jsonl")) == expected


@round_trip
@given(
    st.binary(max_size=300), st.sampled_from(["csv", "tsv", "jsonl", "flickr", "coco", "karpathy"])
)
def test_no_bytes_make_a_reader_raise(tmp_path, content, format):
    header = {"csv": b"image,caption\n", "tsv": b"image\tcaption\tsplit\n"}.get(format, b"")
    (tmp_path / "file").write_bytes(header + content)
    table = read(tmp_path / "file", format=format)
    assert len(table) or table.problems
    "\n".join(map(str, table.problems)).encode()


@pytest.mark.parametrize(
    "name",
    ["c.csv", "c.tsv", "c.jsonl", "dataset_x.json", "captions_train.json", "x.token", "1.txt"],
)
def test_a_pipe_in_place_of_captions_is_not_waited_for(tmp_path, name):
    folder = tmp_path / "photos [1] *?%# ünd\n"
    folder.mkdir()
    (folder / "1.jpg").touch()
    os.mkfifo(folder / name)
    signal.alarm(20)
    try:
        with pytest.raises(MiteError, match="It is a pipe, a socket or a device"):
            read(folder / name)
        try:
            problems = [str(each) for each in read(folder).problems]
        except MiteError as error:  # a table whose header cannot be read is none
            problems = [str(error)]
    finally:
        signal.alarm(0)
    assert re.search(f"It is a pipe|Cannot tell how .*{name}", "".join(problems), re.DOTALL)


def test_a_path_that_begins_with_a_tilde_may_be_nobodys_home():
    with pytest.raises(MiteError, match="~nobody-of-this-name/photos does not exist"):
        read("~nobody-of-this-name/photos")
