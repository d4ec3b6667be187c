"""COCO caption files."""

import json

from mite_tf.data.readers import read


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


def test_two_files_and_their_folders(tmp_path, write, rows):
    table = read(write(corpus()))
    assert rows(table) == EXPECTED
    assert (table.root, table.problems) == (tmp_path, ())


def test_one_file(tmp_path, write, rows):
    write(corpus())
    table = read(tmp_path / "annotations" / "captions_val2017.json")
    assert rows(table) == EXPECTED[2:]
    assert table.paths[0].exists()


def test_images_in_one_folder(write):
    captions = coco([{"id": 1, "file_name": "a.png"}], [{"image_id": 1, "caption": "A"}])
    table = read(write({"captions_mine.json": captions, "images/a.png": ""}))
    assert table.paths[0].exists()
    assert table.hashed_splits


def test_bad_records_are_told(write, told):
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


def test_another_document_is_no_coco(write, told):
    table = read(write({"captions_val.json": '{"images": [], "caption": 1}'}))
    assert told(table) == [("malformed-row", "captions_val.json", None)]
