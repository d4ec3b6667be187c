import numpy as np
import pytest
from PIL import Image

from mite_tf.data import CaptionedImages, read_unpaired
from mite_tf.errors import MiteError


def picture(seed):
    """A picture of 160 by 120 with something large in it, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "paired"
    folder.mkdir()
    captions = {"train": "A cat sleeps.", "dev": "A dog, it runs.", "test": "Un café noir"}
    for number, split in enumerate(captions):
        picture(number).save(folder / f"{split}.png")
    names = [f"{split}.png" for split in captions]
    return CaptionedImages.from_lists(names, list(captions.values()), list(captions), root=folder)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "more"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in (7, 8):
        picture(number).save(folder / "deep" / f"{number}.JPG", "JPEG")
    picture(0).save(folder / "of_train.png")
    return folder


def test_a_picture_of_dev_or_test_is_left_out_whatever_its_file(table, folder, capsys):
    before = read_unpaired(folder, None, table)
    assert before.image_ids == ("deep/7.JPG", "deep/8.JPG", "of_train.png")
    assert [path.is_file() for path in before.paths] == [True] * 3
    assert capsys.readouterr().err == ""
    (folder / "copy.png").write_bytes((table.root / "dev.png").read_bytes())
    (folder / "link.png").symlink_to(table.root / "test.png")
    picture(1).save(folder / "deep" / "jpeg.jpg", quality=50)
    picture(2).resize((80, 60)).save(folder / "deep" / "er" / "half.webp")
    lying = picture(1).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x112] = 6  # turn it by 270° to see it upright
    lying.save(folder / "turned.png", exif=exif)
    after = read_unpaired(folder, None, table)
    assert after == before
    assert after.left_out == {"images": 5, "captions": 0}
    assert "5 of 8 unpaired images are in dev or test too" in capsys.readouterr().err


def test_a_caption_of_the_words_of_one_of_dev_or_test_is_left_out(table, tmp_path):
    file = tmp_path / "more.txt"
    file.write_text(
        "﻿a cat sleeps\r\nA DOG it runs!\n\n  un cafe\N{COMBINING ACUTE ACCENT} noir \n"
        "a dog runs\n!\na dog runs\n",
        encoding="utf-8",
    )
    found = read_unpaired(None, file, table, quiet=True)
    assert found.captions == ("a cat sleeps", "a dog runs", "!", "a dog runs")
    assert found.left_out == {"images": 0, "captions": 2}
    assert found.sources == {"captions": str(file)}
    other = read_unpaired(None, file, table.split("train"), quiet=True)
    assert other.fingerprint() != found.fingerprint()


def test_without_image_files_equal_features_are_one_picture(table, folder):
    features = {"dev.png": 1.0, "test.png": 2.0, "deep/7.JPG": 1.0, "deep/8.JPG": 3.0}

    def features_of(ids):
        if missing := [each for each in ids if each not in features]:
            raise MiteError(f"no features of {missing}")
        return np.array([[features[each]] for each in ids])

    (folder / "of_train.png").unlink()
    (folder / "deep" / "8.JPG").write_bytes(b"")  # never looked into
    found = read_unpaired(folder, None, table, features_of=features_of, quiet=True)
    assert found.image_ids == ("deep/8.JPG",)


def test_what_is_broken_is_named_or_left_out(table, folder, tmp_path, capsys):
    (folder / "deep" / "empty.png").touch()
    file = tmp_path / "more.txt"
    file.write_bytes(b"a cow\ncaf\xe9\nnan\n")
    with pytest.raises(MiteError, match="3 errors in the unpaired data") as raised:
        read_unpaired(folder, file, table, quiet=True)
    for told in ("deep/empty.png is empty", "more.txt:2: byte 0xE9", "more.txt:3: ", "--skip-bad"):
        assert told in str(raised.value)
    found = read_unpaired(folder, file, table, skip_bad=True)
    assert found.counts == {"images": 3, "captions": 1}
    assert "3 errors in the unpaired data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("nowhere", "images", "does not exist; give a folder of images"),
        ("more.txt", "images", "no folder of images"),
        ("texts", "images", "with no images in it"),
        ("known", "images", "holds no images to train on: all are in dev or test too"),
        ("nowhere", "captions", "does not exist; give a text file with one caption a line"),
        ("texts", "captions", "is a folder, which is not read"),
        ("more.jsonl", "captions", r"is a \.jsonl file, which is not read"),
        ("more.txt", "captions", "holds no captions to train on: all are in dev or test too"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(table, tmp_path, name, what, message):
    (tmp_path / "more.txt").write_text("a dog it runs\n")
    (tmp_path / "more.jsonl").write_text("{}\n")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a dog\n")
    (tmp_path / "known").mkdir()
    picture(1).save(tmp_path / "known" / "a.png")
    given = {"images": None, "captions": None, what: tmp_path / name}
    with pytest.raises(MiteError, match=message) as raised:
        read_unpaired(table=table, quiet=True, **given)
    assert str(raised.value).startswith(str(tmp_path / name))
