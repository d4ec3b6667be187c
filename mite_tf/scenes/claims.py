"""Captions and what they claim of a scene, so that their truth can be computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations

from mite_tf.scenes.scene import Scene

Look = Mapping[str, str]
Claim = Callable[[Scene], bool]


@dataclass(frozen=True)
class Caption:
    """A sentence and what it claims.

    Args:
        text: The sentence, in lower case and without a full stop.
        claims: What must hold of a scene for the sentence to be true of it.

    Example:
        >>> from mite_tf.scenes.scene import SceneObject
        >>> star = SceneObject("star", "red", "large", "plain", x=0.5, y=0.5)
        >>> Caption("a red star", (shows({"shape": "star", "colour": "red"}),)).holds(
        ...     Scene((star,), "white")
        ... )
        True
    """

    text: str
    claims: tuple[Claim, ...]

    def holds(self, scene: Scene) -> bool:
        """Returns whether the sentence is true of a scene."""
        return all(claim(scene) for claim in self.claims)


def shows(look: Look, count: int = 1) -> Claim:
    """Claims what a noun phrase does: one or more for "a red star", two for "two red stars"."""
    if count > 1:
        return numbers(look, count)
    return lambda scene: scene.count(look) >= 1


def numbers(look: Look, count: int) -> Claim:
    """Claims that exactly `count` objects have the attributes of `look`: "only one red star"."""
    return lambda scene: scene.count(look) == count


def relates(a: Look, relation: str, b: Look) -> Claim:
    """Claims that some object like `a` is `relation` another like `b`.

    The claim is false only where a lenient reader would call it false, too: see
    `Scene.may_be`.
    """

    def claim(scene: Scene) -> bool:
        return any(
            scene.objects[i].matches(a)
            and scene.objects[j].matches(b)
            and scene.may_be(i, relation, j)
            for i, j in permutations(range(len(scene.objects)), 2)
        )

    return claim


def lies_on(background: str) -> Claim:
    """Claims that the background is this one."""
    return lambda scene: scene.background == background
