"""CaptionedImages: the table itself, made from lists."""

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mite_tf.data import CaptionedImage, CaptionedImages
from mite_tf.data.splits import hashed_splits
from mite_tf.errors import MiteError


@pytest.fixture
def table() -> CaptionedImages:
    return CaptionedImages.from_lists(
        ["dog.jpg", "cats/1.jpg", "bird.png"],
        [["A dog runs.", "كلب يركض", "犬が走る 🐕"], "A cat sleeps.", ["A bird.", "Un oiseau."]],
        splits=["train", "val", "restval"],
        root="corpus",
    )


def test_flat_captions_point_back_to_their_rows(table):
    assert table.image_ids == ["dog.jpg", "cats/1.jpg", "bird.png"]
    assert table.captions == [
        *("A dog runs.", "كلب يركض", "犬が走る 🐕"),
        "A cat sleeps.",
        *("A bird.", "Un oiseau."),
    ]
    np.testing.assert_array_equal(table.caption_image, [0, 0, 0, 1, 2, 2])
    assert table.caption_image.dtype == np.int64
    assert table.paths[1] == Path("corpus/cats/1.jpg")


def test_empty_table_has_empty_columns():
    table = CaptionedImages(())
    assert (len(table), table.captions, table.splits) == (0, [], {})
    assert table.caption_image.shape == (0,)


def test_it_is_a_sequence_of_rows(table):
    assert len(table) == len(list(table)) == 3
    assert table[-1] == CaptionedImage("bird.png", ("A bird.", "Un oiseau."), "train")
    assert table[1:].image_ids == ["cats/1.jpg", "bird.png"]
    assert table[1:].caption_image.tolist() == [0, 1, 1]


def test_splits_answer_to_their_synonyms(table):
    assert table.splits == {"train": 2, "dev": 1}
    assert table.split("train").image_ids == ["dog.jpg", "bird.png"]
    assert table.split("validation") == table.split("dev")
    with pytest.raises(MiteError, match=r"no split 'test'.*train \(2 images\), dev \(1 image\)"):
        table.split("test")
    with pytest.raises(MiteError, match="too few images to give each split one"):
        CaptionedImages.from_lists(["a.jpg"], ["One."]).split("dev")


def test_an_image_has_one_row():
    row = CaptionedImage("a.jpg", ("A dog.",), "train")
    with pytest.raises(MiteError, match=r"'a.jpg' stands in more than one row"):
        CaptionedImages((row, row))


def test_lists_that_name_an_image_twice_are_joined():
    table = CaptionedImages.from_lists(["a.jpg", "./a.jpg"], ["One.", "Two."], ["dev", "dev"])
    assert table.rows == (CaptionedImage("a.jpg", ("One.", "Two."), "dev"),)
    with pytest.raises(MiteError, match="lengths 1, 2"):
        CaptionedImages.from_lists(["a.jpg"], ["One.", "Two."])


def test_what_is_wrong_in_lists_travels_with_the_table():
    table = CaptionedImages.from_lists(["a.jpg", "b.jpg", "../c.jpg"], ["One.", [], "Three."])
    assert table.image_ids == ["a.jpg"]
    assert [problem.kind for problem in table.problems] == ["outside-root", "no-captions"]
    assert "Reading found 2 errors" in table.summary()


def test_absolute_paths_get_the_folder_they_share_as_root(tmp_path):
    images = [tmp_path / "x" / "a.jpg", tmp_path / "y" / "b.jpg"]
    table = CaptionedImages.from_lists(images, ["One.", "Two."])
    assert table.root == tmp_path
    assert table.image_ids == ["x/a.jpg", "y/b.jpg"]
    assert table.paths == images


def test_the_fingerprint_is_of_the_content(table):
    rows = table.rows
    moved = CaptionedImages(rows, root=Path("elsewhere"), format="csv")
    assert moved.fingerprint() == table.fingerprint()
    assert table.fingerprint().startswith("3a754105404267762872d8043a28c879")
    changed = [
        rows[::-1],
        (dataclasses.replace(rows[0], split="dev"), *rows[1:]),
        (dataclasses.replace(rows[0], captions=rows[0].captions[:2]), *rows[1:]),
        (dataclasses.replace(rows[0], image="hound.jpg"), *rows[1:]),
    ]
    prints = {CaptionedImages(tuple(each)).fingerprint() for each in changed}
    assert len(prints | {table.fingerprint()}) == 5


def test_images_without_splits_are_spread_by_hash():
    images = [f"{number}.jpg" for number in range(5000)]
    table = CaptionedImages.from_lists(images, ["A picture."] * 5000)
    shares = {split: count / 5000 for split, count in table.splits.items()}
    assert shares == pytest.approx({"train": 0.8, "dev": 0.1, "test": 0.1}, abs=0.015)
    assert table.hashed_splits
    assert "assigned by hash of the image id, 80 % train" in table.summary()
    fewer = CaptionedImages.from_lists(images[::7], ["Other words."] * len(images[::7]))
    whole = {row.image: row.split for row in table}
    assert all(row.split == whole[row.image] for row in fewer)


def test_the_hash_rule_never_changes():
    splits = Counter(hashed_splits([f"{number}.jpg" for number in range(1000)]))
    assert splits == {"train": 798, "dev": 102, "test": 100}


@pytest.mark.parametrize("images", range(1, 40))
def test_of_three_images_each_split_has_one(images):
    splits = Counter(hashed_splits([f"{number}.jpg" for number in range(images)]))
    assert set(splits) == set(["train", "dev", "test"][:images])
    assert splits["train"] == max(splits.values())


def test_an_empty_split_takes_the_image_nearest_to_it():
    images = [f"{number}.jpg" for number in range(200)]
    whole = dict(zip(images, hashed_splits(images), strict=True))
    train = [image for image in images if whole[image] == "train"][:30]
    moved = [
        image for image, split in zip(train, hashed_splits(train), strict=True) if split != "train"
    ]
    hashes = {image: hashlib.sha256(image.encode()).hexdigest() for image in train}
    assert sorted(moved, key=hashes.get) == sorted(train, key=hashes.get)[-2:]
    # With others that belong there, they are back in train.
    others = [image for image in images if whole[image] != "train"]
    again = dict(zip(train + others, hashed_splits(train + others), strict=True))
    assert again == {image: whole[image] for image in train + others}


def test_lists_of_pandas_have_gaps():
    images = ["a.jpg", "b.jpg", None, "c.jpg", "d.jpg"]
    captions = ["One.", float("nan"), "Three.", None, "Five."]
    table = CaptionedImages.from_lists(images, captions, ["train", "train", "dev", "dev", 3])
    assert table.captions == ["One."]
    kinds = ["empty-caption", "malformed-row", "empty-caption", "malformed-row"]
    assert [problem.kind for problem in table.problems] == kinds
    assert "image null is no path" in table.problems[1].message


def test_a_split_of_the_users_own_is_kept_and_told():
    table = CaptionedImages.from_lists(["a.jpg", "b.jpg"], ["One.", "Two."], ["trian", "train"])
    assert table.splits == {"trian": 1, "train": 1}
    (problem,) = table.problems
    assert (problem.kind, problem.severity) == ("unknown-split", "warning")


def test_the_summary_tells_captions_per_image(table):
    assert "train: 2 images, 5 captions, 2 to 3 per image" in table.summary()
    assert "dev: 1 image, 1 caption, 1 per image" in table.summary()
    assert "hash" not in table.summary()


def test_tensorflow_is_not_loaded(run_python):
    code = "import sys, mite_tf.data.checks; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
