"""CSV and TSV tables."""

import pytest

from mite_tf.data import read


def test_quotes_commas_line_breaks_and_languages(write, rows):
    text = (
        "\ufeffImage,caption,split\r\n"
        'a.jpg,"A dog, a ""good"" one",train\r\n'
        'a.jpg, "Two\r\nlines",train\r\n'
        "\r\n"
        "b.jpg,קו 👩‍🚀 \u2028 next,validation\r\n"
    )
    table = read(write({"captions.csv": text}))
    assert rows(table) == [
        ("a.jpg", ['A dog, a "good" one', "Two\r\nlines"], "train"),
        ("b.jpg", ["קו 👩‍🚀 \u2028 next"], "dev"),
    ]
    assert (table.problems, table[1].where.line) == ((), 6)


def test_columns_in_any_order_with_others_between(write, rows):
    text = "caption;id;image\nEin Hund, ja;1;a.jpg\n"
    assert rows(read(write({"x.csv": text}))) == [("a.jpg", ["Ein Hund, ja"], "train")]


def test_a_file_for_each_split(write):
    files = {f"{name}.csv": f"image,caption\n{name}.jpg,A.\n" for name in ("train", "dev", "test")}
    assert read(write(files)).splits == {"dev": 1, "test": 1, "train": 1}


def test_a_captions_txt_as_flickr8k_is_handed_about(write):
    files = {"captions.txt": 'image,caption\na.jpg,"Dogs , two ."\n', "Images/a.jpg": ""}
    table = read(write(files))
    assert (table.captions, table.root.name) == (["Dogs , two ."], "Images")


def test_bad_rows_are_told_and_left_out(write, told, rows):
    text = (
        b"image,caption,split\n"
        b"a.jpg,Fine.,train\n"
        b"a.jpg,Two, commas,train\n"
        b"a.jpg,Short\n"
        b'a.jpg,"closed" badly,train\n'
        b"a.jpg,Caf\xe9,train\n"
        b",No image.,train\n"
        b"../a.jpg,Out.,train\n"
        b"x/../../a.jpg,Out.,train\n"
        b"/etc/a.jpg,Out.,train\n"
        b"https://example.org/a.jpg,Far.,train\n"
        b"a.jpg,,train\n"
        b"a.jpg,Fine.,train\n"
        b"b.jpg,No split.,\n"
        b"x/../c.jpg,Inside.,train\n"
        b"d.jpg,Odd.,holdout\n"
        b'a.jpg,"never closed,train\n'
        b"a.jpg,Still read.,train\n"
    )
    table = read(write({"captions.csv": text}))
    assert rows(table) == [
        ("a.jpg", ["Fine.", "Fine.", "Still read."], "train"),
        ("c.jpg", ["Inside."], "train"),
        ("d.jpg", ["Odd."], "holdout"),
    ]
    assert told(table) == [
        ("bad-encoding", "captions.csv", 6),
        ("malformed-row", "captions.csv", 3),
        ("malformed-row", "captions.csv", 4),
        ("malformed-row", "captions.csv", 5),
        ("malformed-row", "captions.csv", 7),
        ("outside-root", "captions.csv", 8),
        ("outside-root", "captions.csv", 9),
        ("outside-root", "captions.csv", 10),
        ("missing-image", "captions.csv", 11),
        ("empty-caption", "captions.csv", 12),
        ("duplicate-caption", "captions.csv", 13),
        ("malformed-row", "captions.csv", 17),
        ("missing-split", "captions.csv", 14),
        ("unknown-split", "captions.csv", 16),
    ]
    offset = text.index(b"\xe9")
    assert f"byte 0xE9 at offset {offset} " in table.problems[0].message
    assert "first in line 2" in table.problems[10].message


def test_an_image_in_two_splits_stays_in_the_one_that_must_be_unseen(write, told, rows):
    text = "image,caption,split\na.jpg,A.,test\nb.jpg,B.,train\na.jpg,C.,train\nb.jpg,D.,val\n"
    table = read(write({"c.csv": text}))
    assert rows(table) == [("a.jpg", ["A.", "C."], "test"), ("b.jpg", ["B.", "D."], "dev")]
    assert told(table) == [
        ("image-in-two-splits", "c.csv", 4),
        ("image-in-two-splits", "c.csv", 5),
    ]


def test_absolute_paths_and_images_elsewhere(tmp_path, write):
    inside, pixels = tmp_path / "text" / "x" / "a.jpg", tmp_path / "pixels"
    write(
        {"text/c.csv": f"image,caption\n{inside},A.\n", "text/d.csv": "image,caption\na.jpg,A.\n"}
    )
    assert read(inside.parents[1] / "c.csv").image_ids == ["x/a.jpg"]
    assert read(inside.parents[1] / "d.csv", root=pixels).paths == [pixels / "a.jpg"]


@pytest.mark.parametrize(
    ("content", "kind", "line"),
    [
        (b"filename,text\na.jpg,A.\n", "malformed-row", 1),
        ("image,caption\na.jpg,A.\n".encode("utf-16"), "bad-encoding", None),
        (b"image,caption\n", "nothing-read", None),
        (b"", "nothing-read", None),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path, write, content, kind, line):
    write({"c.csv": content})
    table = read(tmp_path / "c.csv")
    assert len(table) == 0
    assert [(problem.kind, problem.where.line) for problem in table.problems] == [(kind, line)]


def test_utf_16_in_a_folder_is_told(write, told):
    table = read(write({"c.csv": "image,caption\na.jpg,A.\n".encode("utf-16")}))
    assert told(table) == [("bad-encoding", "c.csv", None)]


@pytest.mark.parametrize("name", ["c.csv", "c.tsv"])
def test_lines_may_end_as_on_old_macs(write, rows, told, name):
    text = "image,caption\ra.jpg,A.\ra.jpg\rb.jpg,B.\r".replace(",", ",\t"[name == "c.tsv"])
    table = read(write({name: text}))
    assert [(image, captions) for image, captions, _ in rows(table)] == [
        ("a.jpg", ["A."]),
        ("b.jpg", ["B."]),
    ]
    assert told(table) == [("malformed-row", name, 3)]


def test_quotes_in_a_tsv_only_count_where_they_are_well_formed(write, told):
    text = (
        "image\tcaption\tsplit\r\n"
        'a.jpg\t"Hello" he said\ttrain\r\n'
        'a.jpg\t"a\ttab"\ttrain\r\n'
        'a.jpg\t"open\ttrain\r\n'
        "a.jpg\tcommas, and ; too\ttrain\r\n"
        "b.jpg\ta bare\ttab\ttrain\r\n"
    )
    table = read(write({"c.tsv": text}))
    assert table.captions == ['"Hello" he said', "a\ttab", '"open', "commas, and ; too"]
    assert told(table) == [("malformed-row", "c.tsv", 6)]


@pytest.mark.parametrize("names", ["caption,caption", "caption,caption.1", "caption_1,caption_2"])
def test_all_columns_of_captions_are_read_and_told(write, rows, told, names):
    table = read(write({"c.csv": f"image,{names}\na.jpg,One.,Two.\nb.jpg,,Three.\nc.jpg,,\n"}))
    found = [(image, captions) for image, captions, _ in rows(table)]
    assert found == [("a.jpg", ["One.", "Two."]), ("b.jpg", ["Three."])]
    assert told(table) == [("joined-captions", "c.csv", 1), ("empty-caption", "c.csv", 4)]


@pytest.mark.parametrize("names", ["image,caption,Image", "split,image,caption,split.1"])
def test_a_second_column_of_images_or_splits_is_an_error(write, told, names):
    table = read(write({"c.csv": f"{names}\na.jpg,b.jpg,c.jpg\n"}))
    assert told(table) == [("colliding-keys", "c.csv", 1)]
    assert f"(column {1 + names.count(',')})" in table.problems[0].message


def test_a_list_in_a_cell_is_not_one_caption(write, told):
    lines = "image,captions\na.jpg,\"['A dog.', 'It runs.']\"\na.jpg,[sic] a dog\n"
    table = read(write({"c.csv": lines}))
    assert table.captions == ["[sic] a dog"]
    assert told(table) == [("malformed-row", "c.csv", 2)]


def test_tables_beside_each_other_are_told(write, told):
    files = {
        "a.csv": "image,caption\na.jpg,A.\n",
        "b.csv": "image,caption\na.jpg,B.\n",
        "log.csv": "epoch,loss\n1,2\n",
        "dev.csv": "version https://git-lfs.github.com/spec/v1\n",
    }
    table = read(write(files))
    assert table.captions == ["A.", "B."]
    assert told(table) == [
        ("git-lfs-pointer", "dev.csv", None),
        ("unread-file", "log.csv", 1),
        ("joined-captions", "b.csv", None),
    ]
