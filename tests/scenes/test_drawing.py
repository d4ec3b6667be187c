"""Drawings show what their scenes say."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mite_tf.scenes import Scene, SceneObject, draw, sample_scenes
from mite_tf.scenes.drawing import RGB
from mite_tf.scenes.scene import PATTERNS, SHAPES, SIZES


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(400, seed=2)


def pixels(scene: Scene, size: int = 96) -> np.ndarray:
    return np.asarray(draw(scene, size), dtype=int)


def differing(one: Scene, two: Scene) -> np.ndarray:
    """Returns where two drawings differ plainly, as a mask of 96 × 96 pixels."""
    return np.abs(pixels(one) - pixels(two)).sum(axis=-1) > 60


def visible(scene: Scene, index: int) -> np.ndarray:
    """Returns the pixels that change when one object is moved out of the image."""
    objects = list(scene.objects)
    objects[index] = replace(objects[index], x=-1.0)
    return differing(scene, replace(scene, objects=tuple(objects)))


def alone(thing: SceneObject) -> np.ndarray:
    return visible(Scene((thing,), "white"), 0)


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
                assert dx > max(20, 1.5 * abs(dy))
            elif name == "above":
                assert dy > max(20, 1.5 * abs(dx))
            elif name in ("inside", "on"):
                assert max(abs(dx), abs(dy)) < 6


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
