"""COCO's caption files, Karpathy's data sets, and JSON Lines."""

import json

import pytest

from mite_tf.data import read


def coco(images: object, annotations: object) -> str:
    return json.dumps({"info": {}, "images": images, "annotations": annotations})


def corpus() -> dict[str, str | bytes]:
    return {
        "annotations/captions_train2017.json": coco(
            [{"id": 9, "file_name": "0009.jpg"}, {"id": 25, "file_name": "0025.jpg"}],
            [
                {"image_id": 25, "id": 1, "caption": "A giraffe.\n"},
                {"image_id": 9, "id": 2, "caption": "Lunch."},
                {"image_id": 25, "id": 3, "caption": "Un giraffe, «haut»."},
            ],
        ),
        "annotations/captions_val2017.json": coco(
            [{"id": 9, "file_name": "0009.jpg"}], [{"image_id": 9, "id": 4, "caption": "B."}]
        ),
        "annotations/instances_val2017.json": "{",
        "train2017/0009.jpg": "",
        "val2017/0009.jpg": "",
    }


EXPECTED = [
    ("train2017/0009.jpg", ["Lunch."], "train"),
    ("train2017/0025.jpg", ["A giraffe.", "Un giraffe, «haut»."], "train"),
    ("val2017/0009.jpg", ["B."], "dev"),
]


def test_two_coco_files_and_their_folders(tmp_path, write, rows):
    table = read(write(corpus()))
    assert rows(table) == EXPECTED
    assert (table.root, table.problems) == (tmp_path, ())


def test_one_coco_file(tmp_path, write, rows):
    write(corpus())
    table = read(tmp_path / "annotations" / "captions_val2017.json")
    assert rows(table) == EXPECTED[2:]
    assert table.paths[0].exists()


def test_coco_images_in_one_folder(write):
    captions = coco([{"id": 1, "file_name": "a.png"}], [{"image_id": 1, "caption": "A"}])
    table = read(write({"captions_mine.json": captions, "images/a.png": ""}))
    assert table.paths[0].exists()
    assert table.hashed_splits


def test_bad_coco_records_are_told(write, told):
    captions = coco(
        [{"id": 1, "file_name": "a.png"}, {"id": [], "file_name": "b.png"}, "c.png"],
        [
            {"image_id": 1, "caption": None},
            {"image_id": 7, "caption": "B"},
            {"image_id": {}, "caption": "C"},
            {"caption": "D"},
            None,
        ],
    )
    table = read(write({"captions_val.json": captions}))
    assert [kind for kind, _, _ in told(table)] == ["malformed-row"] * 7
    assert "annotations[1] is for image 7" in table.problems[3].message


def karpathy(*images: object) -> str:
    return json.dumps({"dataset": "flickr8k", "images": images})


def test_a_karpathy_dataset(write, rows):
    dataset = karpathy(
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "One."}, {"raw": "二"}]},
        {"filename": "b.jpg", "split": "restval", "sentences": [{"raw": "Two."}]},
        {"filename": "c.jpg", "filepath": "val2014", "split": "val", "sentences": [{"raw": "3."}]},
    )
    files = {"dataset_flickr8k.json": dataset, "val2014/c.jpg": ""}
    assert rows(read(write(files))) == [
        ("a.jpg", ["One.", "二"], "train"),
        ("b.jpg", ["Two."], "train"),
        ("val2014/c.jpg", ["3."], "dev"),
    ]


def test_a_file_of_another_name_is_known_by_its_content(tmp_path, write):
    write({"mine.json": karpathy({"filename": "a.jpg", "sentences": [{"raw": "A"}]})})
    assert read(tmp_path / "mine.json").format == "karpathy"


def test_bad_karpathy_records_are_told(write, told, rows):
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
@pytest.mark.parametrize("name", ["dataset.json", "captions_val.json"])
def test_another_document_is_no_dataset(write, name, document):
    table = read(write({name: document}))
    assert (len(table), len(table.problems)) == (0, 1)


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


def test_one_or_many_captions_a_line(write, rows):
    lines = [
        {"image": "a.jpg", "captions": ["One.", "二 🐕"], "split": "train"},
        {"image": "b.jpg", "caption": "Three.", "split": "val", "source": "web"},
        {"image": "a.jpg", "caption": ["Four."], "split": "train"},
    ]
    text = "\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert rows(read(write({"c.jsonl": text}))) == [
        ("a.jpg", ["One.", "二 🐕", "Four."], "train"),
        ("b.jpg", ["Three."], "dev"),
    ]


def test_bad_lines_are_told_and_left_out(write, told):
    text = (
        b'{"image": "a.jpg", "caption": "Fine."}\n'
        b'{"image": "a.jpg", "caption": }\n'
        b'["a.jpg", "List."]\n'
        b'{"image": 5, "caption": "Number."}\n'
        b'{"image": "b.jpg", "captions": [1]}\n'
        b'{"image": "c.jpg"}\n'
        b'{"image": "d.jpg", "caption": null}\n'
        b'{"image": "e.jpg", "caption": "E.", "split": 1}\n'
        b'{"image": "f.jpg", "caption": "\xff"}\n'
        b'{"image": "\\ud800.jpg", "caption": "Half."}\n'
    )
    table = read(write({"c.jsonl": text}))
    assert table.image_ids == ["a.jpg"]
    assert told(table) == [
        ("bad-encoding", "c.jsonl", 9),
        ("broken-json", "c.jsonl", 2),
        ("malformed-row", "c.jsonl", 3),
        ("malformed-row", "c.jsonl", 4),
        ("malformed-row", "c.jsonl", 5),
        ("malformed-row", "c.jsonl", 7),
        ("malformed-row", "c.jsonl", 8),
        ("bad-encoding", "c.jsonl", 10),
        ("no-captions", "c.jsonl", 6),
    ]
    assert "column 31" in table.problems[1].message
    "\n".join(map(str, table.problems)).encode()
