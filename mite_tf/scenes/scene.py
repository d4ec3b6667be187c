"""Symbolic scenes: a few shapes on a background, and how they stand to each other.

A scene is what a drawing and its captions agree on. Coordinates run from 0 to 1, `x` to the
right and `y` downwards, as in an image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np

from mite_tf.errors import MiteError

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
SIZES = ("small", "large")
PATTERNS = ("plain", "striped", "dotted", "checkered")
BACKGROUNDS = ("white", "grey", "cream", "paper", "fading", "sunset", "meadow", "beach")
RELATIONS = ("left of", "right of", "above", "below", "inside", "on", "in front of", "behind")
KINDS = ("base", "colour", "shape", "size", "relation", "count", "pattern")

MOST_OBJECTS = 4  # captions count them in words

# Patterns that a person recognises on a shape: rings and crescents are too thin for some.
PATTERNS_OF = dict.fromkeys(SHAPES, PATTERNS) | dict.fromkeys(
    ("ring", "crescent"), ("plain", "striped")
)

Rng = np.random.Generator
T = TypeVar("T")

_RADIUS = {"small": 0.10, "large": 0.19}  # in image widths
_HOSTS = {"ring": "inside", "circle": "on", "square": "on"}  # wide enough for a small object
_SOLID = ("circle", "square", "star", "heart")  # recognised with a third of them hidden
_CHOICES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "pattern": PATTERNS}
_INVERSE = {"right of": "left of", "below": "above", "behind": "in front of"}


@dataclass(frozen=True)
class SceneObject:
    """One shape of a scene, with one of `SHAPES`, `COLOURS`, `SIZES` and `PATTERNS`.

    Its centre is at `x` and `y`, and it is turned by `tilt` degrees clockwise. The second colour
    of a pattern is always white.

    Raises:
        MiteError: An attribute is not one of the known values.
    """

    shape: str
    colour: str
    size: str
    pattern: str
    x: float
    y: float
    tilt: float = 0.0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _check(name, getattr(self, name), known)

    @property
    def radius(self) -> float:
        """Radius in image widths."""
        return _RADIUS[self.size]

    @property
    def look(self) -> dict[str, str]:
        """Everything but the place: shape, colour, size and pattern."""
        return {name: getattr(self, name) for name in _CHOICES}

    def matches(self, look: Mapping[str, str]) -> bool:
        """Returns whether the object has every attribute that `look` names."""
        return all(getattr(self, name) == value for name, value in look.items())


@dataclass(frozen=True)
class Scene:
    """Objects on a background.

    Scenes come in families: a base and near misses of it, each differing from the base in
    exactly the one thing that its `kind` names.

    Args:
        objects: One to four objects, back to front: a later one covers an earlier one.
        background: One of `BACKGROUNDS`.
        family: Number of the family.
        kind: One of `KINDS`.

    Raises:
        MiteError: The background or kind is unknown, or there are too few or many objects.

    Example:
        >>> star = SceneObject("star", "red", "large", "plain", x=0.25, y=0.5)
        >>> disc = SceneObject("circle", "blue", "small", "striped", x=0.75, y=0.5)
        >>> scene = Scene((star, disc), "meadow")
        >>> scene.relations()
        [(0, 'left of', 1), (1, 'right of', 0)]
    """

    objects: tuple[SceneObject, ...]
    background: str
    family: int = 0
    kind: str = "base"

    def __post_init__(self) -> None:
        _check("background", self.background, BACKGROUNDS)
        _check("kind", self.kind, KINDS)
        if not 1 <= len(self.objects) <= MOST_OBJECTS:
            raise MiteError(
                f"A scene of {len(self.objects)} objects. Expected 1 to {MOST_OBJECTS} objects."
            )

    def count(self, look: Mapping[str, str]) -> int:
        """Returns how many objects have every attribute that `look` names."""
        return sum(thing.matches(look) for thing in self.objects)

    def groups(self) -> list[list[int]]:
        """Returns the indices of the objects, those that look alike together."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, thing in enumerate(self.objects):
            groups.setdefault(tuple(thing.look.values()), []).append(index)
        return list(groups.values())

    def relations(self) -> list[tuple[int, str, int]]:
        """Returns the relations that every observer would agree on.

        Two objects apart are related only when they stand in a row or in a column; two that
        touch, only by what covers or holds what. `(i, relation, j)`: `i` is `relation` `j`.
        """
        pairs = permutations(range(len(self.objects)), 2)
        found = ((i, self._clear_relation(i, j), j) for i, j in pairs)
        return [(i, relation, j) for i, relation, j in found if relation]

    def may_be(self, i: int, relation: str, j: int) -> bool:
        """Returns whether a lenient observer could say that object `i` is `relation` object `j`.

        It is wider than `relations`, so that "not `may_be`" means plainly false: of two objects
        on a diagonal one may be said to be left of the other.
        """
        _check("relation", relation, RELATIONS)
        if relation in _INVERSE:
            i, j, relation = j, i, _INVERSE[relation]
        a, b = self.objects[i], self.objects[j]
        if relation == "left of":
            return b.x - a.x > 0.1
        if relation == "above":
            return b.y - a.y > 0.1
        touching = math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius
        if relation == "inside":
            return touching and a.size == "small" and b.shape == "ring"
        return touching and i > j

    def _clear_relation(self, i: int, j: int) -> str | None:
        a, b = self.objects[i], self.objects[j]
        dx, dy = b.x - a.x, b.y - a.y
        distance = math.hypot(dx, dy)
        if distance < 0.02 and i > j and (a.size, b.size) == ("small", "large"):
            return _HOSTS.get(b.shape) if a.shape != "ring" else None
        if 0.19 < distance < 0.26 and {a.size, b.size} == {"large"}:
            solid = a.shape in _SOLID and b.shape in _SOLID
            return ("in front of" if i > j else "behind") if solid else None
        if abs(dx) >= 0.28 and abs(dy) <= 0.12:
            return "left of" if dx > 0 else "right of"
        if abs(dy) >= 0.28 and abs(dx) <= 0.12:
            return "above" if dy > 0 else "below"
        return None


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise MiteError(
            f"Unknown {name} {value!r} in a scene. Expected one of: {', '.join(known)}."
        )


def pick(rng: Rng, items: Sequence[T]) -> T:
    """Returns one of `items`, each with the same chance."""
    # NumPy's `Generator.choice` would turn strings and tuples into arrays.
    return items[int(rng.integers(len(items)))]
