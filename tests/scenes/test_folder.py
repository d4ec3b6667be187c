"""The folder that scenes are written to."""

import itertools
import json
from collections import Counter

import pytest
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.scenes import Scene, SceneObject, draw, write_scenes
from mite_tf.scenes import folder as scenes_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "demo"
    return write_scenes(path, train=24, dev=10, test=6, size=48, seed=1, progress=False)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(path):
    return {p.relative_to(path): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_folder_holds_images_captions_and_scenes(folder):
    captions, scenes = rows(folder / "captions.jsonl"), rows(folder / "scenes.jsonl")
    assert Counter(row["split"] for row in captions) == {"train": 24, "dev": 10, "test": 6}
    assert len(list((folder / "images").iterdir())) == 40
    for row, scene in zip(captions, scenes, strict=True):
        assert set(row) == {"image", "captions", "split"}
        assert len(row["captions"]) == len(scene["rules_out"]) == 5
        assert (row["image"], row["split"]) == (scene["image"], scene["split"])
        with Image.open(folder / row["image"]) as image:
            assert (image.size, image.mode, image.format) == ((48, 48), "RGB", "PNG")


def test_images_show_the_scenes_of_the_folder(folder):
    for row in rows(folder / "scenes.jsonl"):
        objects = tuple(SceneObject(**thing) for thing in row["objects"])
        scene = Scene(objects, row["background"], row["family"], row["kind"])
        with Image.open(folder / row["image"]) as image:
            assert image.tobytes() == draw(scene, 48).tobytes()


def test_families_do_not_straddle_splits(folder):
    splits = {}
    for row in rows(folder / "scenes.jsonl"):
        assert splits.setdefault(row["family"], row["split"]) == row["split"]
    assert sorted(splits) == list(range(6 + 3 + 2))


def test_captions_rule_out_each_other_kind_of_the_family(folder):
    scenes = rows(folder / "scenes.jsonl")
    for row in scenes:
        mates = {s["kind"] for s in scenes if s["family"] == row["family"]} - {row["kind"]}
        assert set().union(*row["rules_out"]) == mates


def test_writing_is_deterministic(folder, tmp_path):
    again = write_scenes(tmp_path / "a", train=24, dev=10, test=6, size=48, seed=1, progress=False)
    assert contents(again) == contents(folder)
    other = write_scenes(tmp_path / "b", train=24, dev=10, test=6, size=48, seed=2, progress=False)
    assert (other / "captions.jsonl").read_bytes() != (folder / "captions.jsonl").read_bytes()


def test_splits_hold_different_scenes(folder):
    objects = {}
    for row in rows(folder / "scenes.jsonl"):
        objects.setdefault(row["split"], set()).add(json.dumps(row["objects"]))
    for one, two in itertools.combinations(objects.values(), 2):
        assert not one & two


def test_same_parameters_use_the_folder_again(folder, monkeypatch):
    monkeypatch.setattr(scenes_folder, "draw", lambda *_: pytest.fail("drew again"))
    path = write_scenes(folder, train=24, dev=10, test=6, size=48, seed=1, progress=False)
    assert path == folder


def test_other_parameters_need_another_folder(folder):
    before = contents(folder)
    with pytest.raises(MiteError, match="Choose another folder, or delete it"):
        write_scenes(folder, train=24, dev=10, test=6, size=64, seed=1, progress=False)
    assert contents(folder) == before


def test_a_damaged_folder_is_not_used(tmp_path):
    path = write_scenes(tmp_path / "demo", train=4, dev=0, test=0, size=32, progress=False)
    (path / "images" / "000002.png").unlink()
    with pytest.raises(MiteError, match="damaged: 3 of 4 images"):
        write_scenes(path, train=4, dev=0, test=0, size=32, progress=False)


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(MiteError, match="holds no rendered scenes"):
        write_scenes(tmp_path, train=4, dev=0, test=0, progress=False)
    with pytest.raises(MiteError, match="holds no rendered scenes"):
        write_scenes(tmp_path / "thesis.txt", train=4, dev=0, test=0, progress=False)
    assert contents(tmp_path) == {
        p.relative_to(tmp_path): b"years of work" for p in [tmp_path / "thesis.txt"]
    }


def test_an_empty_folder_is_filled(tmp_path):
    path = tmp_path / "deep" / "demo"
    path.mkdir(parents=True)
    write_scenes(path, train=4, dev=0, test=0, size=32, progress=False)
    assert (path / "scenes.json").exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, error):
    drawn = []

    def failing(scene, size):
        drawn.append(scene)
        if len(drawn) == 3:
            raise error
        return draw(scene, size)

    monkeypatch.setattr(scenes_folder, "draw", failing)
    with pytest.raises(error):
        write_scenes(tmp_path / "demo", train=8, dev=0, test=0, progress=False)
    assert len(drawn) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train": 0, "dev": 0, "test": 0}, "train=0, dev=0, test=0"),
        ({"dev": -1}, "dev=-1"),
        ({"size": 20}, "20 pixels wide"),
        ({"seed": -3}, "seed -3"),
    ],
)
def test_parameters_out_of_range(tmp_path, parameters, message):
    with pytest.raises(MiteError, match=message):
        write_scenes(tmp_path / "demo", **parameters)
    assert list(tmp_path.iterdir()) == []
