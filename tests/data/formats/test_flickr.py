"""Flickr's token files and split lists."""

import pytest

from mite_tf.data import read

FILES = {
    "Flickr8k.token.txt": (
        "a.jpg#0\tA dog runs .\n"
        "a.jpg#1\t犬が走る\twith a tab\r\n"
        "b.jpg#0\tA cat .\n"
        "c.jpg#0\tقطة 🐈\n"
    ),
    "Flickr_8k.trainImages.txt": "a.jpg\n",
    "Flickr_8k.devImages.txt": "b.jpg\r\n",
    "Flickr_8k.testImages.txt": "c.jpg",
    "Flickr8k.lemma.token.txt": "a.jpg#0\tdog run .\n",
    "Flicker8k_Dataset/a.jpg": "",
    "readme.txt": "Thank you for downloading.",
}


def test_tokens_and_lists(tmp_path, write, rows):
    table = read(write(FILES))
    assert rows(table) == [
        ("a.jpg", ["A dog runs .", "犬が走る\twith a tab"], "train"),
        ("b.jpg", ["A cat ."], "dev"),
        ("c.jpg", ["قطة 🐈"], "test"),
    ]
    assert table.problems == ()
    assert table.root == tmp_path / "Flicker8k_Dataset"
    assert str(table[1].where) == f"{tmp_path / 'Flickr8k.token.txt'}:3"


@pytest.mark.parametrize("folder", ["images", "Images", "flickr30k-images", "photos", "."])
def test_the_image_folder_is_found_by_looking(tmp_path, write, folder):
    files = {"results_20130124.token": "a.jpg#0\tA dog .\n", f"{folder}/a.jpg": ""}
    assert read(write(files)).paths[0].samefile(tmp_path / folder / "a.jpg")


def test_lists_of_bare_ids_beside_tokens_in_a_subfolder(tmp_path, write):
    files = {
        "text/results_20130124.token": "36979.jpg#0\tTwo men .\n7.jpg#0\tOne man .\n",
        "text/train.txt": "36979\n",
        "text/flickr30k_val.txt": "7.jpg\n",
        "flickr30k-images/7.jpg": "",
    }
    table = read(write(files))
    assert table.splits == {"train": 1, "dev": 1}
    assert table.root == tmp_path / "flickr30k-images"


def test_captions_of_unlisted_images_get_one_note(write):
    extra = "d.jpg#0\tExtra .\nd.jpg#1\tExtra again .\ne.jpg.1#0\tMore .\n"
    files = FILES | {"Flickr8k.token.txt": FILES["Flickr8k.token.txt"] + extra}
    table = read(write(files))
    assert len(table) == 3
    (problem,) = table.problems
    assert (problem.kind, problem.severity) == ("unlisted-images", "note")
    assert problem.where.line == 5
    assert "2 images are in no split list" in problem.message


def test_bad_lines_are_told_and_left_out(write, told, rows):
    files = {
        "x.token": b"a.jpg#0\tA dog .\nno tab here\na.jpg#1\t \na.jpg#2\tCaf\xe9\nb.jpg\tText\n",
        "train.txt": "a.jpg\nlonely.jpg\n",
        "test.txt": "a.jpg\n",
    }
    table = read(write(files))
    assert rows(table) == [("a.jpg", ["A dog ."], "test")]
    assert told(table) == [
        ("bad-encoding", "x.token", 4),
        ("malformed-row", "x.token", 2),
        ("empty-caption", "x.token", 3),
        ("malformed-row", "x.token", 5),
        ("image-in-two-splits", "test.txt", 1),
        ("no-captions", "train.txt", 2),
    ]
    assert "byte 0xE9 at offset 49 " in table.problems[0].message


def test_a_number_that_stands_twice_loses_no_caption(write, rows, told):
    tokens = "a.jpg#0\tOne .\na.jpg#0\tTwo .\n./a.jpg#1\tThree .\n"
    table = read(write({"x.token": tokens, "train.txt": "a.jpg\n"}))
    assert rows(table) == [("a.jpg", ["One .", "Two .", "Three ."], "train")]
    assert told(table) == [("repeated-key", "x.token", 2), ("image-named-twice", "x.token", 3)]
    assert "a.jpg#0 stands in line 1 too" in table.problems[0].message


def test_a_bare_id_of_two_images_is_an_error(write, told):
    tokens = "7.png#0\tA .\n7.jpg#0\tB .\n8.jpg#0\tC .\n./8.jpg#1\tD .\n"
    table = read(write({"x.token": tokens, "train.txt": "7\n8\n"}))
    assert table.image_ids == ["8.jpg"]
    assert told(table)[0] == ("colliding-keys", "train.txt", 1)
    assert "7 may be 7.png or 7.jpg" in table.problems[0].message


def test_a_bare_id_is_the_image_of_the_tokens(write):
    files = {"x.token": "7.png#0\tA .\n8.jpg#0\tB .\n", "train.txt": "7\n8\n9\n"}
    table = read(write(files))
    assert table.image_ids == ["7.png", "8.jpg"]
    assert "9.jpg has no captions" in table.problems[0].message
