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
    kinds = [kind for kind, _, _ in told(table)]
    assert kinds == [*["malformed-row"] * 2, "empty-caption", *["malformed-row"] * 4]
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
        ("empty-caption", "c.jsonl", 7),
        ("malformed-row", "c.jsonl", 8),
        ("bad-encoding", "c.jsonl", 10),
        ("no-captions", "c.jsonl", 6),
    ]
    assert "column 31" in table.problems[1].message
    "\n".join(map(str, table.problems)).encode()


def test_coco_entries_that_share_a_key_are_told(write, rows):
    images = [(1, "a.jpg"), (1, "b.jpg"), (2, "c.jpg"), (3, "c.jpg"), (4, "d.jpg"), (4, "d.jpg")]
    captions = [(1, "Lost."), (2, "Two."), (3, "Three."), (4, "Four."), (4, "Four.")]
    document = coco(
        [{"id": key, "file_name": name} for key, name in images],
        [
            {"id": n // 4, "image_id": key, "caption": text}
            for n, (key, text) in enumerate(captions)
        ],
    )
    table = read(write({"captions_train.json": document}))
    assert rows(table) == [
        ("c.jpg", ["Two.", "Three."], "train"),
        ("d.jpg", ["Four.", "Four."], "train"),
    ]
    found = [(each.kind, each.message) for each in table.problems]
    assert found[:3] == [
        (
            "colliding-keys",
            "images[1] and images[0] both have the id 1: b.jpg and a.jpg; neither is read",
        ),
        (
            "image-named-twice",
            "images[3] and images[2], ids 3 and 2, are both c.jpg: read as one image",
        ),
        ("repeated-key", "images[5] and images[4] both have the id 4 and are d.jpg"),
    ]
    assert (
        "repeated-key",
        "annotations[3] and annotations[1] both have the id 0; both are used",
    ) in found
    assert found[-1][0] == "duplicate-caption"
    assert "first in annotations[3]" in found[-1][1]
    assert str(table.problems[-1].where).endswith("captions_train.json, annotations[4]")


def test_karpathy_entries_that_share_a_key_are_told(write, rows):
    def image(name: str, number: int, split: str, *sentences: int) -> dict[str, object]:
        said = [{"raw": f"{name} {sentence}", "sentid": sentence} for sentence in sentences]
        return {"filename": name, "imgid": number, "split": split, "sentences": said}

    images = [image("a", 0, "train", 0), image("a", 1, "train", 1), image("b", 1, "train", 1, 2)]
    table = read(write({"dataset.json": karpathy(*images, image("b", 3, "test", 4))}))
    assert rows(table) == [("a", ["a 0", "a 1"], "train"), ("b", ["b 1", "b 2", "b 4"], "test")]
    assert [each.message for each in table.problems if each.severity == "warning"] == [
        "images[1] and images[0] are both a: read as one image",
        "images[2] and images[1] both have the imgid 1; both are used",
        "images[2].sentences[0] and images[1].sentences[0] both have the sentid 1; both are used",
        "images[3] and images[2] are both b: read as one image",
    ]
    assert [each.kind for each in table.problems][-1] == "image-in-two-splits"


DOUBLED = {
    "captions_a.json": '{"images": [{"id": 1, "file_name": "a.jpg", "file_name": "b.jpg"}, '
    '{"id": 2, "file_name": "c.jpg"}], "annotations": [{"image_id": 2, "caption": "A."}, '
    '{"image_id": 2, "caption": "A.", "caption": "B."}, {"image_id": 1, "caption": "C."}]}',
    "captions_b.json": '{"images": [], "annotations": [], "images": [1]}',
    "dataset.json": '{"images": [{"filename": "a.jpg", "filename": "b.jpg"}, {"filename": "c.jpg", '
    '"sentences": [{"raw": "A."}, {"raw": "A.", "raw": "B."}]}]}',
    "c.jsonl": '{"image": "c.jpg", "caption": "A."}\n{"image": "a.jpg", "image": "b.jpg"}\n'
    '{"image": "c.jpg", "caption": "A.", "caption": "B."}\n',
}


@pytest.mark.parametrize(("name", "errors"), list(zip(DOUBLED, [2, 1, 2, 2], strict=True)))
def test_a_key_that_stands_twice_in_an_object_is_an_error(write, name, errors):
    table = read(write({name: DOUBLED[name]}))
    assert table.captions == (["A."] if errors > 1 else [])
    told = [each.message for each in table.problems if each.kind == "colliding-keys"]
    assert len(told) == errors
    assert "stands twice in one object" in told[0]
    if errors > 1:
        assert any("as 'A.' and as 'B.'" in message for message in told)


def test_the_same_value_under_a_key_twice_is_no_matter(write):
    table = read(write({"c.jsonl": '{"image": "a.jpg", "caption": "A.", "caption": "A."}\n'}))
    assert (table.captions, table.problems) == (["A."], ())


@pytest.mark.parametrize(
    ("name", "file", "image"),
    [
        ("0009.jpg", None, "0009.jpg"),  # no folder is made up, as where features are given
        ("train2017/0009.jpg", "train2017/0009.jpg", "train2017/0009.jpg"),
        ("0009.jpg", "0009.jpg", "0009.jpg"),
        ("0009.jpg", "images/train2017/0009.jpg", "images/train2017/0009.jpg"),
        ("0009.jpg", "photos/train2017/0009.jpg", "photos/train2017/0009.jpg"),
        ("0009.jpg", "photos/0009.jpg", "0009.jpg"),
    ],
)
def test_a_folder_of_coco_is_taken_where_its_images_are(tmp_path, write, name, file, image):
    captions = coco([{"id": 1, "file_name": name}], [{"image_id": 1, "caption": "A"}])
    files = {"annotations/captions_train2017.json": captions} | ({file: ""} if file else {})
    table = read(write(files))
    assert table.image_ids == [image]
    assert file is None or table.paths[0].samefile(tmp_path / file)


def test_images_of_coco_in_two_folders_are_each_found(write):
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(5)]
    captions = coco(images, [{"image_id": n, "caption": "A"} for n in range(5)])
    there = {"0.jpg": "", **{f"val2017/{n}.jpg": "" for n in (1, 2, 3)}}
    # The one that is missing is looked for where most are.
    expected = ["0.jpg", *(f"val2017/{n}.jpg" for n in (1, 2, 3, 4))]
    assert read(write({"captions_val2017.json": captions, **there})).image_ids == expected


@pytest.mark.parametrize("folder", ["", "images/", "val2014/", "images/val2014/"])
def test_the_filepath_of_karpathy_is_left_out_where_no_such_folder_is(tmp_path, write, folder):
    dataset = karpathy({"filename": "c.jpg", "filepath": "val2014", "sentences": [{"raw": "3."}]})
    table = read(write({"dataset_coco.json": dataset, f"{folder}c.jpg": ""}))
    assert table.paths[0].samefile(tmp_path / folder / "c.jpg")


def test_lines_with_other_keys_show_them(write):
    lines = ['{"file": "a.jpg", "text": "A."}', "[1]", "{}", '{"image": "b.jpg", "caption": "B."}']
    lines += ['{"image": "a.jpg", "text": "A."}', '{"image": "b.jpg", "width": 3}']
    expected = "expected an object with image and caption or captions, found "
    table = read(write({"c.jsonl": "\n".join(lines)}))
    assert table.captions == ["B."]
    assert [(each.where.line, each.message) for each in table.problems] == [
        (1, f"{expected}the keys file, text"),
        (2, f"{expected}a list"),
        (3, f"{expected}an empty object"),
        (5, f"a.jpg has no captions: {expected}the keys image, text"),
    ]
