"""Sentences that set two objects against each other: attributes bound to the right shapes."""

from itertools import permutations

from mite_tf.scenes.claims import Caption, shows
from mite_tf.scenes.pick import Rng, pick
from mite_tf.scenes.scene import Scene
from mite_tf.scenes.words import Look, noun, with_article, word


def which_is_which(scene: Scene, rng: Rng) -> Caption | None:
    """Says what each of two is: "the star is red and the circle is blue"."""
    known, told = pick(rng, (("shape", "colour"), ("shape", "pattern"), ("colour", "shape")))
    looks = [thing.look for thing in scene.objects if scene.count({known: thing.look[known]}) == 1]
    pairs = [(a, b) for a, b in permutations(looks, 2) if a[told] != b[told]]
    if not pairs:
        return None
    clauses, claims = [], []
    for look in pick(rng, pairs):
        what = word(look[told], rng)
        what = with_article(what) if told == "shape" else what
        clauses.append(f"the {noun(_only(look, known), rng)} is {what}")
        claims.append(shows(_only(look, known, told)))
    return Caption(pick(rng, (" and ", " while ")).join(clauses), tuple(claims))


def larger(scene: Scene, rng: Rng) -> Caption | None:
    """Compares sizes: "the red star is larger than the blue circle"."""
    pairs = [(a, b) for a, b in _pairs(scene) if a["size"] != b["size"]]
    if not pairs:
        return None
    pair = pick(rng, pairs)
    a, b = (noun(_only(look, "shape", "colour"), rng) for look in pair)
    words = {"large": ("larger", "bigger"), "small": ("smaller",)}[pair[0]["size"]]
    claims = (shows(_only(look, "shape", "colour", "size")) for look in pair)
    return Caption(f"the {a} is {pick(rng, words)} than the {b}", tuple(claims))


def both(scene: Scene, rng: Rng) -> Caption | None:
    """Names two that share an attribute: "a star and a circle, both red"."""
    shared = pick(rng, ("colour", "size", "pattern"))
    pairs = [(a, b) for a, b in _pairs(scene) if a[shared] == b[shared]]
    if not pairs:
        return None
    pair = pick(rng, pairs)
    named = ("shape",) if shared == "colour" else ("shape", "colour")
    a, b = (with_article(noun(_only(look, *named), rng)) for look in pair)
    claims = (shows(_only(look, *named, shared)) for look in pair)
    return Caption(f"{a} and {b}, both {word(pair[0][shared], rng)}", tuple(claims))


def _pairs(scene: Scene) -> list[tuple[Look, Look]]:
    """Returns the pairs of objects of which no other looks like either."""
    single = (group[0] for group in scene.groups() if len(group) == 1)
    return list(permutations((scene.objects[index].look for index in single), 2))


def _only(look: Look, *names: str) -> Look:
    return {name: look[name] for name in names}
