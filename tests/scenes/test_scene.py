"""Scenes, what they show, and their near misses."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest

from mite_tf.errors import MiteError
from mite_tf.scenes import Scene, SceneObject, draw, sample_scenes
from mite_tf.scenes.families import near_misses
from mite_tf.scenes.scene import BACKGROUNDS, COLOURS, KINDS, PATTERNS, RELATIONS, SHAPES, SIZES

STAR = SceneObject("star", "red", "large", "plain", x=0.25, y=0.5)
DISC = SceneObject("circle", "blue", "small", "striped", x=0.75, y=0.5)


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(400, seed=2)


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
    ],
)
def test_errors_say_what_is_expected(make, message):
    with pytest.raises(MiteError, match=message):
        make()


def test_sampling_depends_on_the_seed_alone():
    assert sample_scenes(10, seed=5) == sample_scenes(24, seed=5)[:10]
    assert sample_scenes(24, seed=5) != sample_scenes(24, seed=6)


def test_everything_occurs(scenes):
    objects = [thing for scene in scenes for thing in scene.objects]
    choices = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "pattern": PATTERNS}
    for name, known in choices.items():
        assert {getattr(thing, name) for thing in objects} == set(known)
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


def test_near_misses_exchange_colours_places_or_depths():
    (near,) = near_misses(Scene((STAR, DISC), "white"), "colour")
    assert near.objects == (replace(STAR, colour="blue"), replace(DISC, colour="red"))
    (near,) = near_misses(Scene((STAR, DISC), "white"), "relation")
    assert near.relations() == [(0, "right of", 1), (1, "left of", 0)]
    other = replace(STAR, shape="square", colour="green", x=0.42, y=0.62)
    (near,) = near_misses(Scene((STAR, other), "white"), "relation")
    assert near.objects == (other, STAR)


def test_objects_that_look_alike_change_together():
    twin = replace(STAR, y=0.9)
    for near in near_misses(Scene((STAR, DISC, twin), "white"), "size"):
        assert near.groups() == [[0, 2], [1]]
