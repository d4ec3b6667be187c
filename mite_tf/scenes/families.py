"""Families of scenes: a random base, and near misses that differ from it in one known thing."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mite_tf.scenes import scene as known
from mite_tf.scenes.scene import Rng, Scene, SceneObject, pick

_FAMILY_SIZE = 4  # the base and three near misses of three different kinds
_GRID = (0.22, 0.36, 0.5, 0.64, 0.78)  # coordinates at which an object may come in anew

_Spots = list[tuple[float, float]]
_Objects = tuple[SceneObject, ...]


def sample_scenes(n: int, seed: int | Sequence[int] = 0) -> list[Scene]:
    """Samples `n` scenes, family after family, each base before its three near misses.

    The last family is cut short where `n` is not a multiple of four. The first scenes of a seed
    do not depend on `n`.

    Example:
        >>> [(scene.family, scene.kind == "base") for scene in sample_scenes(5, seed=1)]
        [(0, True), (0, False), (0, False), (0, False), (1, True)]
    """
    rng = np.random.default_rng(seed)
    families = (_family(rng, number) for number in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(families), n))


def _family(rng: Rng, number: int) -> list[Scene]:
    while True:
        scenes = [_base(rng, number)]
        for kind in rng.permutation(known.KINDS[1:]).tolist():
            candidates = [near for near in near_misses(scenes[0], kind) if _is_legible(near)]
            if candidates:
                scenes.append(pick(rng, candidates))
            if len(scenes) == _FAMILY_SIZE:
                return scenes


def _base(rng: Rng, family: int) -> Scene:
    n = 2 + int(rng.choice(3, p=(0.3, 0.45, 0.25)))
    wanted, background = pick(rng, list(_LAYOUTS)), pick(rng, known.BACKGROUNDS)
    while True:
        spots = _LAYOUTS[wanted](rng, n)
        objects = tuple(
            replace(thing, x=round(x, 3), y=round(y, 3), tilt=round(rng.uniform(-12, 12), 1))
            for thing, (x, y) in zip(_objects(rng, n), spots, strict=True)
        )
        scene = Scene(objects, background, family)
        if _is_legible(scene) and any(relation == wanted for _, relation, _ in scene.relations()):
            return scene


def _objects(rng: Rng, n: int) -> list[SceneObject]:
    """Chooses `n` objects that have no place yet; some of three or more look alike."""
    objects = []
    for _ in range(n):
        shape = pick(rng, known.SHAPES)
        colour, size, pattern = (
            pick(rng, c) for c in (known.COLOURS, known.SIZES, known.PATTERNS_OF[shape])
        )
        objects.append(SceneObject(shape, colour, size, pattern, x=0.5, y=0.5))
    if n > 2 and rng.random() < 0.4:
        alike = pick(rng, (2, n - 1))
        objects[:alike] = [objects[0]] * alike
    return [objects[k] for k in rng.permutation(n)]


def _apart(rng: Rng, n: int) -> _Spots:
    """Places two in a row or a column, and more in the corners of the image."""
    if n > 2:
        corners = [(x, y) for x in (0.25, 0.75) for y in (0.25, 0.75)]
        return [_near(rng, corners[k]) for k in rng.permutation(4)[:n]]
    across = rng.uniform(0.26, 0.74)
    return _turned(rng, [_near(rng, (0.26, across)), _near(rng, (0.74, across))])


def _nested(rng: Rng, n: int) -> _Spots:
    """Puts the last object inside or on the first one, the others apart."""
    spots = _apart(rng, max(n - 1, 2))[: n - 1]
    return [*spots, spots[0]]


def _overlapping(rng: Rng, n: int) -> _Spots:
    """Covers a part of the first object with the second one; others stand apart."""
    spread, x, y = 0.6, 0.28, 0.5
    if n == 2:
        spread, x, y = math.pi, rng.uniform(0.36, 0.64), rng.uniform(0.36, 0.64)
    angle, distance = math.pi / 2 + rng.uniform(-spread, spread), rng.uniform(0.20, 0.24)
    dx, dy = distance / 2 * math.cos(angle), distance / 2 * math.sin(angle)
    aside = {2: (), 3: (0.5,), 4: (0.25, 0.75)}[n]
    pair = [(x - dx, y - dy), (x + dx, y + dy)]
    return _turned(rng, pair + [_near(rng, (0.76, height)) for height in aside])


# A relation that a base is made to show, and the layout that can show it.
_LAYOUTS = {
    "left of": _apart,
    "above": _apart,
    "inside": _nested,
    "on": _nested,
    "in front of": _overlapping,
}


def _near(rng: Rng, spot: tuple[float, float]) -> tuple[float, float]:
    return spot[0] + rng.uniform(-0.04, 0.04), spot[1] + rng.uniform(-0.04, 0.04)


def _turned(rng: Rng, spots: _Spots) -> _Spots:
    """Mirrors the spots, and turns rows into columns, each half of the time."""
    if rng.random() < 0.5:
        spots = [(1 - x, y) for x, y in spots]
    return [(y, x) for x, y in spots] if rng.random() < 0.5 else spots


def _is_legible(scene: Scene) -> bool:
    """Returns whether a person sees every object, tells them apart and can relate two of them."""
    relations = {(i, j): relation for i, relation, j in scene.relations()}
    for (i, a), (j, b) in itertools.combinations(enumerate(scene.objects), 2):
        if (a.shape, a.colour) == (b.shape, b.colour) and a.look != b.look:
            return False
        if math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius + 0.04:
            relation = relations.get((j, i))
            if a.colour == b.colour or relation not in ("inside", "on", "in front of"):
                return False
            if relation != "in front of" and "plain" not in (a.pattern, b.pattern):
                return False
    return bool(relations) and all(
        thing.pattern in known.PATTERNS_OF[thing.shape]
        and 1.1 * thing.radius <= min(thing.x, thing.y, 1 - thing.x, 1 - thing.y)
        for thing in scene.objects
    )


def near_misses(base: Scene, kind: str) -> list[Scene]:
    """Returns the near misses of one kind.

    Objects that look alike change together. Whether the result can be seen is not judged here.

    - `"colour"`: two objects of different shapes exchange their colours;
    - `"shape"`, `"size"`, `"pattern"`: this attribute of one object is another;
    - `"relation"`: two objects exchange their places, or which of them is in front, or one
      leaves the object that held it;
    - `"count"`: one of several objects that look alike is gone, or one more is there.
    """
    scenes = (replace(base, objects=objects, kind=kind) for objects in _CHANGES[kind](base))
    changed = [scene for scene in scenes if scene.objects != base.objects]
    if kind in ("relation", "count"):
        return changed
    rest = base.groups(), base.relations()  # which a change of attribute leaves as they are
    return [scene for scene in changed if (scene.groups(), scene.relations()) == rest]


def _swapped_colours(base: Scene) -> Iterator[_Objects]:
    for one, two in itertools.combinations(base.groups(), 2):
        a, b = base.objects[one[0]], base.objects[two[0]]
        if a.shape != b.shape:
            once = _changed(base.objects, one, colour=b.colour)
            yield _changed(once, two, colour=a.colour)


def _other(attribute: str, values: Sequence[str]) -> Callable[[Scene], Iterator[_Objects]]:
    def change(base: Scene) -> Iterator[_Objects]:
        for group, value in itertools.product(base.groups(), values):
            yield _changed(base.objects, group, **{attribute: value})

    return change


def _other_relation(base: Scene) -> Iterator[_Objects]:
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
            for x, y in itertools.product(_GRID, _GRID):
                moved = _changed(base.objects, [i], x=x, y=y)
                related = {(k, m) for k, _, m in replace(base, objects=moved).relations()}
                if _stands_alone(moved, i) and (i, j) in related:
                    yield moved


def _other_count(base: Scene) -> Iterator[_Objects]:
    for group in base.groups():
        if len(group) > 1:
            for gone in (i for i in group if _stands_alone(base.objects, i)):
                yield base.objects[:gone] + base.objects[gone + 1 :]
        if len(base.objects) < known.MOST_OBJECTS:
            for x, y in itertools.product(_GRID, _GRID):
                more = (*base.objects, replace(base.objects[group[0]], x=x, y=y))
                if _stands_alone(more, len(more) - 1):
                    yield more


_CHANGES: dict[str, Callable[[Scene], Iterator[_Objects]]] = {
    "colour": _swapped_colours,
    "shape": _other("shape", known.SHAPES),
    "size": _other("size", known.SIZES),
    "relation": _other_relation,
    "count": _other_count,
    "pattern": _other("pattern", known.PATTERNS),
}


def _stands_alone(objects: _Objects, index: int) -> bool:
    one = objects[index]
    others = objects[:index] + objects[index + 1 :]
    return all(math.hypot(one.x - o.x, one.y - o.y) > one.radius + o.radius for o in others)


def _changed(objects: _Objects, indices: Sequence[int], **changes: Any) -> _Objects:
    return tuple(
        replace(thing, **changes) if index in indices else thing
        for index, thing in enumerate(objects)
    )
