"""Near misses: every way in which a scene can be changed in exactly one known thing."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mite_tf.scenes.scene import MOST_OBJECTS, PATTERNS, SHAPES, SIZES, Scene, SceneObject

Objects = tuple[SceneObject, ...]

GRID = (0.22, 0.36, 0.5, 0.64, 0.78)
"""Coordinates at which an object may come in anew."""


def near_misses(base: Scene, kind: str) -> list[Scene]:
    """Returns the near misses of one kind.

    Objects that look alike change together, so that a change of attribute never changes how
    many objects look alike. Whether the result can be seen is not judged here.

    Args:
        base: The scene to change.
        kind: One of `mite_tf.scenes.scene.KINDS`, but not `"base"`:

            - `"colour"`: two objects of different shapes exchange their colours;
            - `"shape"`, `"size"`, `"pattern"`: this attribute of one object is another;
            - `"relation"`: two objects exchange their places, or which of them is in front,
              or one leaves the object that held it;
            - `"count"`: one of several objects that look alike is gone, or one more is there.

    Returns:
        The changed scenes, with the background and family of the base; empty where the base
        cannot be changed so.

    Example:
        >>> star = SceneObject("star", "red", "large", "plain", x=0.25, y=0.5)
        >>> disc = SceneObject("circle", "blue", "small", "striped", x=0.75, y=0.5)
        >>> (swapped,) = near_misses(Scene((star, disc), "white"), "colour")
        >>> [(thing.colour, thing.shape) for thing in swapped.objects]
        [('blue', 'star'), ('red', 'circle')]
    """
    scenes = (replace(base, objects=objects, kind=kind) for objects in _CHANGES[kind](base))
    return [scene for scene in scenes if _differs_in_one_thing(base, scene)]


def _differs_in_one_thing(base: Scene, near: Scene) -> bool:
    if near.objects == base.objects:
        return False
    if near.kind in ("relation", "count"):
        return True
    return near.groups() == base.groups() and near.relations() == base.relations()


def _swapped_colours(base: Scene) -> Iterator[Objects]:
    for one, two in itertools.combinations(base.groups(), 2):
        a, b = base.objects[one[0]], base.objects[two[0]]
        if a.shape != b.shape:
            once = _changed(base.objects, one, colour=b.colour)
            yield _changed(once, two, colour=a.colour)


def _other(attribute: str, values: Sequence[str]) -> Callable[[Scene], Iterator[Objects]]:
    def change(base: Scene) -> Iterator[Objects]:
        for group, value in itertools.product(base.groups(), values):
            yield _changed(base.objects, group, **{attribute: value})

    return change


def _other_relation(base: Scene) -> Iterator[Objects]:
    single = {group[0] for group in base.groups() if len(group) == 1}
    alone = {i for i in single if _stands_alone(base.objects, i)}
    for i, relation, j in base.relations():
        a, b = base.objects[i], base.objects[j]
        if not {i, j} <= single:
            continue
        if relation in ("left of", "above") and {i, j} <= alone:
            moved = _changed(base.objects, [i], x=b.x, y=b.y)
            yield _changed(moved, [j], x=a.x, y=a.y)
        elif relation == "in front of":
            order = list(base.objects)
            order[i], order[j] = b, a
            yield tuple(order)
        elif relation in ("inside", "on"):
            for x, y in itertools.product(GRID, GRID):
                moved = _changed(base.objects, [i], x=x, y=y)
                related = {(k, m) for k, _, m in replace(base, objects=moved).relations()}
                if _stands_alone(moved, i) and (i, j) in related:
                    yield moved


def _other_count(base: Scene) -> Iterator[Objects]:
    for group in base.groups():
        if len(group) > 1:
            for gone in (i for i in group if _stands_alone(base.objects, i)):
                yield base.objects[:gone] + base.objects[gone + 1 :]
        if len(base.objects) < MOST_OBJECTS:
            for x, y in itertools.product(GRID, GRID):
                more = (*base.objects, replace(base.objects[group[0]], x=x, y=y))
                if _stands_alone(more, len(more) - 1):
                    yield more


_CHANGES: dict[str, Callable[[Scene], Iterator[Objects]]] = {
    "colour": _swapped_colours,
    "shape": _other("shape", SHAPES),
    "size": _other("size", SIZES),
    "relation": _other_relation,
    "count": _other_count,
    "pattern": _other("pattern", PATTERNS),
}


def _stands_alone(objects: Objects, index: int) -> bool:
    one = objects[index]
    others = objects[:index] + objects[index + 1 :]
    return all(math.hypot(one.x - o.x, one.y - o.y) > one.radius + o.radius for o in others)


def _changed(objects: Objects, indices: Sequence[int], **changes: Any) -> Objects:
    return tuple(
        replace(thing, **changes) if index in indices else thing
        for index, thing in enumerate(objects)
    )
