"""The folder that scenes are written to."""

import itertools
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from mite_tf.data import CaptionedImages, read
from mite_tf.errors import MiteError
from mite_tf.files import locked
from mite_tf.scenes import RuledOut, Scene, SceneObject, draw, ruled_out, write_scenes
from mite_tf.scenes import folder as scenes_folder
from mite_tf.scenes.scene import KINDS

DEMO = {"train": 24, "dev": 10, "test": 6, "size": 48, "seed": 1}


def write(path, **options):
    return write_scenes(path, **{"train": 0, "dev": 0, "test": 0} | options, progress=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scenes") / "demo", **DEMO)


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
    assert contents(write(tmp_path / "a", **DEMO)) == contents(folder)
    other = write(tmp_path / "b", **DEMO | {"seed": 2})
    assert (other / "captions.jsonl").read_bytes() != (folder / "captions.jsonl").read_bytes()


def test_splits_hold_different_scenes(folder):
    objects = {}
    for row in rows(folder / "scenes.jsonl"):
        objects.setdefault(row["split"], set()).add(json.dumps(row["objects"]))
    for one, two in itertools.combinations(objects.values(), 2):
        assert not one & two


def test_same_parameters_use_the_folder_again(folder, monkeypatch):
    monkeypatch.setattr(scenes_folder, "draw", lambda *_: pytest.fail("drew again"))
    assert write(folder, **DEMO) == folder


def test_other_parameters_need_another_folder(folder):
    before = contents(folder)
    with pytest.raises(MiteError, match="Choose another folder, or delete it"):
        write(folder, **DEMO | {"size": 64})
    assert contents(folder) == before


def test_a_damaged_folder_is_not_used(tmp_path):
    path = write(tmp_path / "demo", train=4, size=32)
    (path / "images" / "000002.png").unlink()
    with pytest.raises(MiteError, match="damaged: 3 of 4 images"):
        write(path, train=4, size=32)


@pytest.mark.parametrize("name", ["", "thesis.txt"])
def test_a_foreign_folder_is_left_alone(tmp_path, name):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(MiteError, match="holds no rendered scenes"):
        write(tmp_path / name, train=4)
    assert list(contents(tmp_path).values()) == [b"years of work"]


def test_an_empty_folder_is_filled(tmp_path):
    path = tmp_path / "deep" / "demo"
    path.mkdir(parents=True)
    assert (write(path, train=4, size=32) / "scenes.json").exists()


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
        write(tmp_path / "demo", train=8)
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


# A family of a base, a scene of another colour and one of another shape; and a base without any.
SCENES = [
    {"image": "a.png", "family": 0, "kind": "base", "rules_out": [["colour", "shape"], []]},
    {"image": "b.png", "family": 0, "kind": "colour", "rules_out": [["base", "shape"]]},
    {"image": "c.png", "family": 0, "kind": "shape", "rules_out": [["colour"], ["base"]]},
    {"image": "d.png", "family": 1, "kind": "base", "rules_out": [[]]},
]


@pytest.fixture
def table(tmp_path):
    (tmp_path / "scenes.jsonl").write_text("\n".join(map(json.dumps, SCENES)))
    captions = [[f"caption {i}" for i in range(len(scene["rules_out"]))] for scene in SCENES]
    images = [scene["image"] for scene in SCENES]
    return CaptionedImages.from_lists(images, captions, ["test"] * 4, root=tmp_path)


def test_captions_are_paired_with_scenes_that_differ_in_one_thing(table):
    assert ruled_out(table) == [
        RuledOut(0, 1, "colour"),
        RuledOut(0, 2, "shape"),
        RuledOut(2, 0, "colour"),  # not with c.png, which differs in colour and shape
        RuledOut(4, 0, "shape"),
    ]


def test_a_part_of_a_family_is_paired_as_far_as_it_is_there(table):
    assert ruled_out(table[1:]) == []
    assert ruled_out(table[:2]) == [RuledOut(0, 1, "colour"), RuledOut(2, 0, "colour")]


def test_scenes_that_do_not_fit_the_table_are_named(table, tmp_path):
    (tmp_path / "scenes.jsonl").write_text(json.dumps(SCENES[0]))
    with pytest.raises(MiteError, match=r"scenes\.jsonl: not a description of the scenes"):
        ruled_out(table)


def test_rendered_scenes_rule_out_near_misses_of_every_kind(tmp_path):
    table = read(write(tmp_path / "scenes", dev=60, size=32))
    pairs = ruled_out(table)
    assert {pair.kind for pair in pairs} == set(KINDS) - {"base"}
    owner = table.caption_image
    assert all(owner[pair.caption] // 4 == pair.image // 4 for pair in pairs)  # one family
    assert all(owner[pair.caption] != pair.image for pair in pairs)


def test_what_a_killed_process_has_left_is_replaced_and_another_is_waited_for(tmp_path, capsys):
    (tmp_path / ".scenes.draft" / "images").mkdir(parents=True)
    (tmp_path / ".scenes.draft" / "images" / "000009.png").touch()
    few = {"train": 4, "dev": 4, "test": 4, "size": 32}
    with ThreadPoolExecutor() as pool:
        with locked(tmp_path / ".scenes.lock"):
            second = pool.submit(write, tmp_path / "scenes", **few)
            while "another process is drawing it; waiting." not in capsys.readouterr().err:
                assert not second.done()
                time.sleep(0.01)
        assert second.result(60) == tmp_path / "scenes"
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
    assert len(list((tmp_path / "scenes" / "images").iterdir())) == 12
