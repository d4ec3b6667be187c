"""Text files beside images."""

from mite_tf.data import read


def test_text_files_beside_images(tmp_path, write, rows):
    files = {
        "train/a.jpg": "",
        "train/a.txt": "One.\r\n\r\nTwo.\r\n",
        "val/deep/b.PNG": "",
        "val/deep/b.txt": "\ufeffثلاثة",
        ".hidden/c.jpg": "",
    }
    table = read(write(files))
    assert rows(table) == [
        ("train/a.jpg", ["One.", "Two."], "train"),
        ("val/deep/b.PNG", ["ثلاثة"], "dev"),
    ]
    assert (table.format, table.root, table.problems) == ("folder", tmp_path, ())
    assert str(table[0].where).endswith("a.txt:1")


def test_what_does_not_pair_is_told(write, told):
    files = {
        "a.jpg": "",
        "a.txt": "One.",
        "b.jpg": "",
        "c.jpg": "",
        "c.txt": "\n\n",
        "d.txt": "Nobody.",
        "e.jpg/inside.txt": "",
        "e.txt": "A folder named like an image.",
    }
    table = read(write(files))
    assert table.image_ids == ["a.jpg", "e.jpg"]
    assert told(table) == [
        ("captions-without-image", "d.txt", None),
        ("captions-without-image", "inside.txt", None),
        ("no-captions", "b.jpg", None),
        ("no-captions", "c.jpg", None),
    ]
    assert table.hashed_splits


def test_links_that_go_in_circles_are_not_followed(tmp_path, write, told):
    write({"corpus/x/a.jpg": "", "corpus/x/a.txt": "One.", "far/b.jpg": "", "far/b.txt": "Two."})
    (tmp_path / "corpus" / "x" / "back").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "far")
    table = read(tmp_path / "corpus")
    assert table.image_ids == ["linked/b.jpg", "x/a.jpg"]
    assert told(table) == [("symlink-loop", "back", None)]


def test_a_folder_named_like_an_image_is_searched(write, rows, told):
    files = {"x.png/a.jpg": "", "x.png/a.txt": "A.", "b.JPG": "", "b.TXT": "B.\n", "b.txt": "C."}
    table = read(write(files))
    assert {image: captions for image, captions, _ in rows(table)} == {
        "b.JPG": ["B.", "C."],
        "x.png/a.jpg": ["A."],
    }
    assert told(table) == [("joined-captions", "b.txt", None)]


def test_two_images_of_one_text_are_both_left_out(write, told):
    files = {"dog.jpg": "", "dog.PNG": "", "dog.txt": "A dog.", "cat.jpg": "", "cat.txt": "A cat."}
    table = read(write(files))
    assert table.image_ids == ["cat.jpg"]
    assert told(table) == [("colliding-keys", "dog.txt", None)]
    assert "dog.PNG and dog.jpg" in table.problems[0].message
