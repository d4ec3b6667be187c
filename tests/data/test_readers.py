"""Choosing a reader, and what holds for all of them."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mite_tf.data import read
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
    assert "Found: notes.doc, other.csv, sub/." in message


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("empty", {}, "the folder is empty"),
        ("a.jpg", {}, "Found: the file a.jpg"),
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
captions = st.text(characters, min_size=1).map(str.strip).filter(split_words)
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
