"""Scenes, their near misses, their drawings and the folder they are written to."""

import itertools
import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mite_tf.data.scenes import Scene, SceneObject, draw, sample_scenes, write_scenes, writing
from mite_tf.data.scenes.drawing import RGB
from mite_tf.data.scenes.near_misses import near_misses
from mite_tf.data.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
)
from mite_tf.errors import MiteError

STAR = SceneObject("star", "red", "large", "plain", x=0.25, y=0.5)
DISC = SceneObject("circle", "blue", "small", "striped", x=0.75, y=0.5)


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(400, seed=2)


def pixels(scene: Scene, size: int = 96) -> np.ndarray:
    return np.asarray(draw(scene, size), dtype=int)


def differing(one: Scene, two: Scene) -> np.ndarray:
    """Return where two drawings differ plainly, as a mask of 96 × 96 pixels."""
    return np.abs(pixels(one) - pixels(two)).sum(axis=-1) > 60


def without(scene: Scene, index: int) -> Scene:
    """Move one object out of the image."""
    gone = replace(scene.objects[index], x=-1.0)
    return replace(scene, objects=(*scene.objects[:index], gone, *scene.objects[index + 1 :]))


def visible(scene: Scene, index: int) -> np.ndarray:
    return differing(scene, without(scene, index))


def alone(thing: SceneObject) -> np.ndarray:
    return visible(Scene((thing,), "white"), 0)


# Symbolic scenes.


def test_relations_of_a_row_a_diagonal_and_a_column():
    def related(x: float, y: float) -> list[str]:
        return [name for i, name, _ in Scene((STAR, replace(DISC, x=x, y=y)), "white").relations()]

    assert related(0.75, 0.45) == ["left of", "right of"]
    assert related(0.28, 0.1) == ["below", "above"]
    assert related(0.75, 0.9) == []


def test_relations_of_objects_that_touch():
    disc = SceneObject("circle", "blue", "large", "plain", x=0.5, y=0.5)
    star = SceneObject("star", "red", "small", "plain", x=0.5, y=0.5)
    ring = replace(disc, shape="ring")
    beside = replace(disc, colour="red", x=0.6, y=0.7)
    assert Scene((disc, star), "white").relations() == [(1, "on", 0)]
    assert Scene((ring, star), "white").relations() == [(1, "inside", 0)]
    assert Scene((disc, beside), "white").relations() == [(0, "behind", 1), (1, "in front of", 0)]


def test_a_lenient_observer_accepts_a_diagonal_but_nothing_opposite():
    scene = Scene((STAR, replace(DISC, y=0.9)), "white")
    may = {name for name in RELATIONS if scene.may_be(0, name, 1)}
    assert may == {"left of", "above"}


def test_objects_that_look_alike_are_grouped_and_counted():
    scene = Scene((STAR, DISC, replace(STAR, x=0.7, y=0.2, tilt=5)), "white")
    assert scene.groups() == [[0, 2], [1]]
    assert scene.count({"shape": "star", "colour": "red"}) == 2
    assert scene.count({"colour": "green"}) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(STAR, shape="hexagon"), "Unknown shape 'hexagon'.*circle, square"),
        (lambda: replace(STAR, colour="mauve"), "Unknown colour 'mauve'"),
        (lambda: Scene((STAR,), "jungle"), "Unknown background 'jungle'"),
        (lambda: Scene((STAR,), "white", kind="twist"), "Unknown kind 'twist'"),
        (lambda: Scene((), "white"), "0 objects.*Expected 1 to 4"),
        (lambda: Scene((STAR,) * 5, "white"), "5 objects.*Expected 1 to 4"),
        (lambda: Scene((STAR, DISC), "white").may_be(0, "near", 1), "Unknown relation 'near'"),
        (lambda: draw(Scene((STAR,), "white"), size=16), "16 pixels wide.*at least 32"),
        (lambda: sample_scenes(-1), "-1 scenes"),
    ],
)
def test_errors_say_what_is_expected(make, message):
    with pytest.raises(MiteError, match=message):
        make()


# Sampling.


def test_sampling_depends_on_the_seed_alone():
    assert sample_scenes(24, seed=5) == sample_scenes(24, seed=5)
    assert sample_scenes(10, seed=5) == sample_scenes(24, seed=5)[:10]
    assert sample_scenes(24, seed=5) != sample_scenes(24, seed=6)


def test_everything_occurs(scenes):
    objects = [thing for scene in scenes for thing in scene.objects]
    assert {thing.shape for thing in objects} == set(SHAPES)
    assert {thing.colour for thing in objects} == set(COLOURS)
    assert {thing.size for thing in objects} == set(SIZES)
    assert {thing.pattern for thing in objects} == set(PATTERNS)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    assert {len(scene.objects) for scene in scenes} == {2, 3, 4}
    relations = Counter(name for scene in scenes for _, name, _ in scene.relations())
    assert min(relations[name] for name in RELATIONS) > 20
    kinds = Counter(scene.kind for scene in scenes)
    assert kinds["base"] == 100
    assert min(kinds[kind] for kind in KINDS) > 20


def test_a_family_is_a_base_and_three_kinds_of_near_misses(scenes):
    for number, members in itertools.groupby(scenes, key=lambda scene: scene.family):
        base, *others = members
        assert base.kind == "base"
        assert len({scene.kind for scene in others} - {"base"}) == 3
        assert {scene.family for scene in others} == {number}
        assert {scene.background for scene in others} == {base.background}


def test_objects_touch_only_where_a_relation_says_so(scenes):
    for scene in scenes:
        told = {(i, j) for i, name, j in scene.relations() if name in ("inside", "on", "behind")}
        for (i, a), (j, b) in itertools.combinations(enumerate(scene.objects), 2):
            if math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius:
                assert told & {(i, j), (j, i)}, scene
                assert a.colour != b.colour


def test_near_misses_differ_from_their_base_in_one_known_thing(scenes):
    def looks(scene: Scene) -> Counter[str]:
        return Counter(str(thing.look) for thing in scene.objects)

    def told(scene: Scene) -> Counter[str]:
        looks = [thing.look for thing in scene.objects]
        return Counter(f"{looks[i]} {name} {looks[j]}" for i, name, j in scene.relations())

    bases = {scene.family: scene for scene in scenes if scene.kind == "base"}
    for scene in scenes:
        base = bases[scene.family]
        before, after = base.objects, scene.objects
        if scene.kind == "count":
            common = Counter(before) & Counter(after)
            assert abs(len(before) - len(after)) == 1
            assert common.total() == min(len(before), len(after))
            assert looks(base).keys() == looks(scene).keys()
        elif scene.kind == "relation":
            assert looks(base) == looks(scene)
            assert told(base) != told(scene)
        else:
            changed = {
                name
                for a, b in zip(before, after, strict=True)
                for name, value in vars(a).items()
                if value != getattr(b, name)
            }
            assert changed == {scene.kind} - {"base"}
            assert told(base).total() == told(scene).total()


def test_colour_near_misses_exchange_colours():
    (near,) = near_misses(Scene((STAR, DISC), "white"), "colour")
    assert near.objects == (replace(STAR, colour="blue"), replace(DISC, colour="red"))


def test_relation_near_misses_exchange_places_or_depths():
    (near,) = near_misses(Scene((STAR, DISC), "white"), "relation")
    assert near.relations() == [(0, "right of", 1), (1, "left of", 0)]
    other = replace(STAR, shape="square", colour="green", x=0.42, y=0.62)
    (near,) = near_misses(Scene((STAR, other), "white"), "relation")
    assert near.objects == (other, STAR)


def test_objects_that_look_alike_change_together():
    twin = replace(STAR, y=0.9)
    for near in near_misses(Scene((STAR, DISC, twin), "white"), "size"):
        assert near.groups() == [[0, 2], [1]]


# Drawings.


def test_drawing_is_deterministic():
    scene = sample_scenes(1, seed=3)[0]
    assert draw(scene).tobytes() == draw(scene).tobytes()
    assert draw(scene).mode == "RGB"
    assert draw(scene, size=64).size == (64, 64)


def test_every_object_is_seen_in_its_colour(scenes):
    names = list(RGB)
    palette = np.array([RGB[name] for name in names])
    for scene in scenes[::4]:
        image = pixels(scene)
        for index, thing in enumerate(scene.objects):
            distance = np.abs(image[visible(scene, index)][:, None] - palette).sum(axis=-1)
            nearest = distance[distance.min(axis=1) < 40].argmin(axis=1)
            votes = Counter(names[k] for k in nearest)
            if thing.colour != "black":
                del votes["black"]  # the outline
            assert votes.most_common(1)[0][0] == thing.colour, (thing, votes)
            assert votes[thing.colour] >= 15, (thing, votes)


def test_no_object_is_hidden(scenes):
    for scene in scenes[::3]:
        plain = tuple(replace(thing, pattern="plain") for thing in scene.objects)
        for index, thing in enumerate(plain):
            seen = visible(Scene(plain, "white"), index)
            assert seen.sum() > 0.58 * alone(thing).sum(), (scene, thing)


def test_places_in_the_drawing_agree_with_the_relations(scenes):
    def middle(thing: SceneObject) -> np.ndarray:
        rows, columns = np.nonzero(alone(thing))
        return np.array([columns.mean(), rows.mean()])

    for scene in scenes[::8]:
        for i, name, j in scene.relations():
            dx, dy = middle(scene.objects[j]) - middle(scene.objects[i])
            if name == "left of":
                assert dx > 20
                assert abs(dx) > 1.5 * abs(dy)
            elif name == "above":
                assert dy > 20
                assert abs(dy) > 1.5 * abs(dx)
            elif name in ("inside", "on"):
                assert abs(dx) < 6
                assert abs(dy) < 6


def test_sizes_are_plainly_different():
    for shape in SHAPES:
        thing = SceneObject(shape, "blue", "large", "plain", x=0.5, y=0.5)
        large, small = alone(thing).sum(), alone(replace(thing, size="small")).sum()
        assert large > 2.5 * small > 2.5 * 60, shape


def test_patterns_are_plainly_different_even_in_small():
    for colour, size in itertools.product(("yellow", "blue"), SIZES):
        drawn = [
            pixels(Scene((SceneObject("square", colour, size, p, x=0.5, y=0.5),), "grey"), 64)
            for p in PATTERNS
        ]
        for one, two in itertools.combinations(drawn, 2):
            assert (np.abs(one - two).sum(axis=-1) > 60).sum() > 20


def test_near_misses_look_different_from_their_base(scenes):
    bases = {scene.family: scene for scene in scenes if scene.kind == "base"}
    for scene in scenes:
        if scene.kind != "base":
            assert differing(bases[scene.family], scene).sum() > 15, scene


# The folder.


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
    monkeypatch.setattr(writing, "draw", lambda *_: pytest.fail("drew again"))
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

    monkeypatch.setattr(writing, "draw", failing)
    with pytest.raises(error):
        write_scenes(tmp_path / "demo", train=8, dev=0, test=0, progress=False)
    assert len(drawn) == 3
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_standard_error(tmp_path, capsys):
    write_scenes(tmp_path / "demo", train=4, dev=0, test=0, size=32)
    output = capsys.readouterr()
    assert output.out == ""
    assert "Drawing scenes" in output.err


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
