"""Karpathy's dataset files."""

import json

import pytest

from mite_tf.data.readers import read


def karpathy(*images: object) -> str:
    return json.dumps({"dataset": "flickr8k", "images": images})


def test_dataset(write, rows):
    dataset = karpathy(
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "One."}, {"raw": "二"}]},
        {"filename": "b.jpg", "split": "restval", "sentences": [{"raw": "Two."}]},
        {
            "filename": "c.jpg",
            "filepath": "val2014",
            "split": "val",
            "sentences": [{"raw": "Three."}],
        },
    )
    files = {"dataset_flickr8k.json": dataset, "val2014/c.jpg": ""}
    assert rows(read(write(files))) == [
        ("a.jpg", ["One.", "二"], "train"),
        ("b.jpg", ["Two."], "train"),
        ("val2014/c.jpg", ["Three."], "dev"),
    ]


def test_a_file_of_another_name_is_known_by_its_content(tmp_path, write):
    dataset = karpathy({"filename": "a.jpg", "split": "test", "sentences": [{"raw": "A"}]})
    write({"mine.json": dataset})
    assert read(tmp_path / "mine.json").format == "karpathy"


def test_bad_records_are_told(write, told, rows):
    dataset = karpathy(
        7,
        {"split": "train"},
        {"filename": "a.jpg", "split": "train", "sentences": [{"tokens": ["a"]}]},
        {"filename": "b.jpg", "split": "train", "sentences": None},
        {"filename": "c.jpg", "split": "train", "sentences": [{"raw": "Good. \ud83d"}]},
        {"filename": "../../d.jpg", "split": "train", "sentences": [{"raw": "Out."}] * 5},
    )
    table = read(write({"dataset.json": dataset}))
    assert rows(table) == []
    kinds = [kind for kind, _, _ in told(table)]
    assert kinds == [*["malformed-row"] * 3, "bad-encoding", "outside-root", "no-captions"]
    assert "images[0]" in table.problems[0].message


@pytest.mark.parametrize("document", ["[]", '{"images": {}}', "3", "null", '""'])
def test_another_document_is_no_dataset(write, document):
    table = read(write({"dataset.json": document}))
    assert len(table) == 0
    assert len(table.problems) == 1


@pytest.mark.parametrize(
    ("content", "kind", "line", "message"),
    [
        (b'{"images": [\n  {"filename": "a.jpg",\n   oops}\n]}', "broken-json", 3, "column 4"),
        (b'\xef\xbb\xbf{"images":\n ["\xff"]}', "bad-encoding", 2, "byte 0xFF at offset 17"),
        (b"[" * 100_000, "broken-json", 1, "JSON"),
        (b"", "nothing-read", None, "empty"),
    ],
)
def test_a_broken_file_is_told_with_its_line(write, told, content, kind, line, message):
    table = read(write({"dataset_x.json": content}))
    assert told(table) == [(kind, "dataset_x.json", line)]
    assert message in table.problems[0].message
