"""Checking: captions, splits and words, and how the problems are told."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from mite_tf.data import CaptionedImages, Place, Problem, check
from mite_tf.errors import MiteError
from tests.data.checking import JPEG, PNG, encoded, picture, printed


def test_the_same_content_in_two_splits_is_a_leak(write, told):
    lines = ["a.jpg,A.,train", "b.jpg,A.,test", "c.jpg,A.,dev", "d.jpg,A.,test", "e.jpg,A.,train"]
    files = {f"{name}.jpg": JPEG for name in "abcd"} | {"e.jpg": encoded(picture(5))}
    report = check(write({**files, "c.csv": "\n".join(["image,caption,split", *lines])}))
    assert told(report) == [
        ("content-in-two-splits", "c.csv", 2),
        ("content-in-two-splits", "c.csv", 4),
        ("identical-images", "c.csv", 5),
    ]
    assert "a.jpg (train) has the same content as b.jpg (test)" in report.problems[0].message
    assert report.table.image_ids == ["b.jpg", "d.jpg", "e.jpg"]


def test_problems_of_reading_and_of_images_come_together(write, told):
    lines = b"image,caption\na.jpg,Fine.\na.jpg,Caf\xe9\na.jpg,\nb.jpg,Gone.\n"
    report = check(write({"c.csv": lines, "a.jpg": JPEG}))
    assert told(report) == [
        ("bad-encoding", "c.csv", 3),
        ("empty-caption", "c.csv", 4),
        ("missing-image", "c.csv", 5),
    ]
    assert report.table.captions == ["Fine."]
    assert report.table.problems == ()
    assert told(check(report.table)) == []


def test_tables_from_lists_are_checked_too(write):
    folder = write({"a.png": PNG, "b.png": PNG[:50]})
    table = CaptionedImages.from_lists(["a.png", "b.png"], ["One.", "Two."], root=folder)
    report = check(table)
    assert str(report.errors[0]) == "b.png is truncated: the end of the file is missing"
    assert report.table.image_ids == ["a.png"]


def test_missing_and_small_splits_are_told_with_what_they_lack():
    def judged(**splits: int) -> list[tuple[str, str]]:
        names = [
            (f"{split}{n}.png", split) for split, count in splits.items() for n in range(count)
        ]
        with tempfile.TemporaryDirectory() as folder:
            for seed, (name, _) in enumerate(names):
                picture(seed).save(Path(folder, name))
            images, of = zip(*names, strict=True)
            report = check(CaptionedImages.from_lists(images, images, of, folder), progress=False)
        assert report.errors == ()
        found = [(problem.kind, problem.message) for problem in report.problems]
        return [each for each in found if each[0].endswith("-split")]

    assert judged(train=2, dev=50, test=50) == []
    kinds, messages = zip(*judged(train=1, dev=8, test=2), strict=True)
    assert kinds == ("small-split",) * 3
    assert "1 image: there is no other" in messages[0]
    # A random order has the right one of 8 first in 1 / 8 of all cases, among five in 5 / 8.
    assert "8 images: a random order finds 12 % of them first, 62 % among five" in messages[1]
    assert "probe" not in messages[1]
    assert "50 % of them first, 100 % among five and 100 % among ten" in messages[2]
    assert "the probe, which needs 5, is left out" in messages[2]
    kinds, messages = zip(*judged(train=2, test=50), strict=True)
    assert kinds == ("absent-split",)
    assert "in the split dev: `mite train` refuses" in messages[0]


def test_hashed_splits_are_those_of_what_is_usable(check_files):
    pictures = {f"{n}.png": encoded(picture(n), "PNG") for n in range(6)}
    whole = check_files(pictures).table
    [dev] = whole.split("dev").image_ids
    left = check_files({**pictures, dev: b""}).table
    assert set(left.splits) == {"train", "dev", "test"}
    assert dev not in left.image_ids
    assert check(whole.split("train")).table.splits == whole.split("train").splits


def many(count: int) -> dict[str, bytes]:
    return {"fine.jpg": JPEG, **{f"{number}.jpg": b"" for number in range(count)}}


def test_the_refusal_tells_twenty_and_counts_all(check_files):
    with pytest.raises(MiteError) as caught:
        check_files({**many(30), "cut.png": PNG[:-5]}).raise_if_broken()
    lines = str(caught.value).splitlines()
    assert lines[0] == "31 errors in the corpus:"
    assert lines[1].endswith("captions.csv:3: 0.jpg is empty: 0 bytes")
    assert len(lines) == 1 + 20 + 3
    assert lines[-3:] == [
        "  … and 11 more",
        "In all: 30 empty-file, 1 truncated-image.",
        "Mend them, or train without them with skip_bad=True (--skip-bad); that leaves 1 image "
        "with 1 caption.",
    ]


def test_images_that_lie_elsewhere_are_not_called_bad(write):
    report = check(write({"c.csv": "image,caption\na.jpg,A.\nb.jpg,B.\n"}))
    with pytest.raises(MiteError, match=r"No image was found below .*--root") as caught:
        report.raise_if_broken()
    assert "--skip-bad" not in str(caught.value)


def test_the_text_is_whole_lines_with_errors_first(check_files, tmp_path):
    report = check_files({"grey.jpg": encoded(picture().convert("L")), **many(30)})
    lines = printed(report, shown=2).splitlines()
    assert f"{tmp_path / 'captions.csv'}:4: 0.jpg is empty: 0 bytes" in lines
    assert "… and 32 more" in lines  # the splits of one image among them
    assert any("empty-file" in line and "30" in line for line in lines)


def test_nothing_in_a_file_can_disturb_the_terminal(write):
    line = "a\x1b[31m.jpg,[bold]:dog: \x1b[0m\n"
    text = printed(check(write({"c.csv": f"image,caption\n{line}{line}"})))
    assert "\x1b" not in text
    assert "[bold]:dog:" in text


def test_the_json_says_it_all(check_files, tmp_path):
    report = check_files({"fine.jpg": JPEG, "cut.png": PNG[:-5]})
    document = json.loads(report.to_json())
    assert document["usable"] == {"images": 1, "captions": 1, "splits": report.table.splits}
    assert document["fingerprint"] == report.table.fingerprint()
    assert (document["images"], document["counts"]["truncated-image"]) == (2, 1)
    assert document["problems"][:1] == [
        {
            "kind": "truncated-image",
            "severity": "error",
            "file": str(tmp_path / "captions.csv"),
            "line": 3,
            "entry": None,
            "image": "cut.png",
            "message": "cut.png is truncated: the end of the file is missing",
        }
    ]


class TestUnknownWords:
    def check(self, write, captions):
        files = {f"{n}.png": encoded(picture(n), "PNG") for n in range(len(captions))}
        lines = [f"{n}.png,{text},{split}" for n, (split, text) in enumerate(captions)]
        return check(write({**files, "captions.csv": "\n".join(["image,caption,split", *lines])}))

    def test_words_of_characters_that_train_lacks(self, write):
        captions = [
            *(("train", "A dog runs."), ("train", "a god"), ("dev", "a gun"), ("dev", "a fox")),
            *(("test", "人 跑"), ("test", "Nor sad")),
        ]
        report = self.check(write, captions)
        assert report.unknown_words == {"dev": 0.25, "test": 0.5}
        found = [problem for problem in report.problems if problem.kind.startswith("unknown")]
        assert [problem.kind for problem in found] == [*["unknown-words"] * 2, "unknown-caption"]
        assert found[0].message.startswith("25% of the words of dev")
        assert found[2].where.line == 6
        assert report.errors == ()
        assert "train lacks: 25.0% of dev, 50.0% of test." in printed(report).replace("\n", " ")
        assert json.loads(report.to_json())["unknown_words"] == report.unknown_words

    def test_they_are_those_of_the_tokenizer(self, write):
        from mite_tf.text import WordPieceTokenizer, learn_vocabulary

        captions = [("train", "A dog runs é 犬"), ("dev", "a ḡod ë 猫 gun🐕 E")]
        tokenizer = WordPieceTokenizer(learn_vocabulary([captions[0][1]]))
        [ids] = tokenizer.table([captions[1][1]]).ids
        assert (ids == 1).sum() == 4  # ḡod, ë, 猫 and 🐕
        assert self.check(write, captions).unknown_words == {"dev": 4 / 7}

    def test_nothing_is_said_without_a_train_split(self, write):
        report = self.check(write, [("dev", "a gun"), ("dev", "犬")])
        assert report.unknown_words == {}
        assert not any(problem.kind.startswith("unknown") for problem in report.problems)


def test_a_problem_is_of_a_known_kind():
    with pytest.raises(MiteError, match="Unknown kind of problem 'odd'"):
        Problem("odd", "x", Place("a.csv", 1))


@pytest.mark.flickr8k
def test_flickr8k_has_no_errors():
    folder = os.environ.get("MITE_FLICKR8K")
    if folder is None or not Path(folder).is_dir():
        pytest.skip("needs the Flickr8k corpus: set MITE_FLICKR8K to its folder")
    report = check(folder, progress=False)
    assert report.errors == ()
    assert len(report.table.captions) == 5 * len(report.table) == 5 * report.images
    expected = {"duplicate-caption", "identical-images", "unlisted-images", "absent-split"}
    assert set(report.counts) <= expected
    assert {"train", "dev"} <= set(report.table.splits)
