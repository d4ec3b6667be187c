"""Captions of a scene: true sentences, told from the scenes that it is easily taken for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.scenes.scene import Rng, Scene, pick
from mite_tf.scenes.words import (
    NUMBERS,
    Look,
    all_of,
    amount,
    listed,
    noun,
    one,
    with_article,
    word,
)

Claim = Callable[[Scene], bool]

_CAPTIONS_PER_IMAGE = 5
_TRIES = 2000
_WITH_BACKGROUND = 0.2  # share of captions that mention the background

# Sentences for every relation; `where` is its word and `its` the same seen from the other.
_FRAMES = (
    "{a.text} {where} {b.known}",
    "{a.text} {where} {b.known}",
    "{a.known} is {where} {b.known}",
    "{a.known} sits {where} {b.known}",
    "{where} {b.known} there is {a.text}",
    "{b.text} with {a.text} {its}",
)
# Sentences for one relation only.
_FRAMES_OF = {
    "inside": ("{b.text} around {a.text}", "{b.known} surrounds {a.known}"),
    "on": ("{a.text} drawn on {b.known}", "{b.text} that carries {a.text}"),
    "in front of": ("{a.known} partly covers {b.known}",),
    "behind": ("{a.known} is partly hidden by {b.known}",),
}
_ITS = {"left of": "on its left", "right of": "on its right"}  # others: "above it"


@dataclass(frozen=True)
class Caption:
    """A sentence with its claims, by which its truth can be computed for any other scene."""

    text: str
    claims: tuple[Claim, ...]

    def holds(self, scene: Scene) -> bool:
        """Returns whether the sentence is true of a scene."""
        return all(claim(scene) for claim in self.claims)


def _shows(look: Look, count: int = 1) -> Claim:
    """Claims what a noun phrase does: one or more for "a red star", two for "two red stars"."""
    if count > 1:
        return _numbers(look, count)
    return lambda scene: scene.count(look) >= 1


def _numbers(look: Look, count: int) -> Claim:
    """Claims that exactly `count` objects have the attributes of `look`: "only one red star"."""
    return lambda scene: scene.count(look) == count


def _relates(a: Look, relation: str, b: Look) -> Claim:
    """Claims that some object like `a` is `relation` another like `b`, judged leniently."""
    return lambda scene: any(
        one.matches(a) and two.matches(b) and scene.may_be(i, relation, j)
        for (i, one), (j, two) in permutations(enumerate(scene.objects), 2)
    )


def _names(scene: Scene, rng: Rng) -> Caption:
    """Names all objects or some: "two green squares and a red star"."""
    groups = scene.groups()
    count = len(groups) if rng.random() < 0.7 else int(rng.integers(1, len(groups) + 1))
    phrases = [all_of(scene, groups[k], rng) for k in rng.permutation(len(groups))[:count]]
    start = pick(rng, ("", "", "a picture of ", f"there {phrases[0].be} "))
    text = start + listed([phrase.text for phrase in phrases])
    return Caption(text, tuple(_shows(phrase.look, phrase.count) for phrase in phrases))


def _total_and_names(scene: Scene, rng: Rng) -> Caption | None:
    """Says how many there are: "three shapes: two green squares and a red star"."""
    groups, total = scene.groups(), len(scene.objects)
    if total == 1:
        return None
    phrases = [all_of(scene, groups[k], rng) for k in rng.permutation(len(groups))]
    joint = ": "
    if phrases[0].count == 1 and rng.random() < 0.3:
        joint, phrases = ", one of them ", phrases[:1]
    text = f"{NUMBERS[total]} shapes{joint}{listed([phrase.text for phrase in phrases])}"
    claims = (_shows(phrase.look, phrase.count) for phrase in phrases)
    return Caption(text, (_numbers({}, total), *claims))


def _count(scene: Scene, rng: Rng) -> Caption:
    """Counts what has some attributes: "only one red star", "exactly two small shapes"."""
    full = pick(rng, scene.objects).look
    look = _only(full, *rng.permutation(list(full))[: int(rng.integers(2, 4))].tolist())
    number = scene.count(look)
    how = pick(rng, ("only", "just", "exactly"))
    verb = "is" if number == 1 else "are"
    start = pick(rng, ("", f"there {verb} "))
    text = f"{start}{how} {NUMBERS[number]} {noun(look, rng, plural=number > 1)}"
    return Caption(text, (_numbers(look, number),))


def _share(scene: Scene, rng: Rng) -> Caption | None:
    """Names all that share an attribute: "exactly two of the three shapes are red: ..."."""
    total = len(scene.objects)
    if total == 1:
        return None
    name = pick(rng, ("colour", "size", "pattern"))
    value = pick(rng, scene.objects).look[name]
    shared = {name: value}
    number = scene.count(shared)
    who = f"exactly {NUMBERS[number]} of the {NUMBERS[total]} shapes"
    if number == total:
        who = "both shapes" if total == 2 else f"all {NUMBERS[total]} shapes"
    rest = [key for key in ("shape", "colour", "size") if key != name]
    groups = [(scene.objects[group[0]].look, len(group)) for group in scene.groups()]
    parts = [(_only(look, *rest), size) for look, size in groups if look[name] == value]
    verb = "is" if number == 1 else "are"
    text = f"{who} {verb} {word(value, rng)}: {listed([amount(*p, rng) for p in parts])}"
    claims = (_shows(named | shared, size) for named, size in parts)
    return Caption(text, (_numbers({}, total), _numbers(shared, number), *claims))


def _relation(scene: Scene, rng: Rng) -> Caption | None:
    """Relates two objects: "a red star left of a blue circle"."""
    triples = _triples(scene)
    return _related(scene, *pick(rng, triples), rng) if triples else None


def _relation_and_more(scene: Scene, rng: Rng) -> Caption | None:
    """Relates two objects and names others: "..., and there are two green squares"."""
    choices = [
        ((i, name, j), group)
        for i, name, j in _triples(scene)
        for group in scene.groups()
        if not {i, j} & set(group)
    ]
    if not choices:
        return None
    triple, group = pick(rng, choices)
    first, more = _related(scene, *triple, rng), all_of(scene, group, rng)
    text = f"{first.text}{pick(rng, ('; there', ', and there'))} {more.be} {more.text}"
    return Caption(text, (*first.claims, _shows(more.look, more.count)))


def _two_relations(scene: Scene, rng: Rng) -> Caption | None:
    """Relates one object to two: "a red star left of a circle and above a green ring"."""
    choices = [
        (i, name, j, other, k)
        for (i, name, j), (h, other, k) in permutations(_triples(scene), 2)
        if i == h and scene.objects[j].look != scene.objects[k].look
    ]
    if not choices:
        return None
    i, name, j, other, k = pick(rng, choices)
    a, b, c = (one(scene, index, rng) for index in (i, j, k))
    verb = pick(rng, ("", " is", " sits"))
    text = f"{a.text}{verb} {word(name, rng)} {b.known} and {word(other, rng)} {c.known}"
    return Caption(text, (_relates(a.look, name, b.look), _relates(a.look, other, c.look)))


def _triples(scene: Scene) -> list[tuple[int, str, int]]:
    """Returns the relations between objects that words can tell apart."""
    objects = scene.objects
    return [(i, r, j) for i, r, j in scene.relations() if objects[i].look != objects[j].look]


def _related(scene: Scene, i: int, name: str, j: int, rng: Rng) -> Caption:
    a, b = one(scene, i, rng), one(scene, j, rng)
    frame = pick(rng, _FRAMES + _FRAMES_OF.get(name, ()))
    text = frame.format(a=a, b=b, where=word(name, rng), its=_ITS.get(name, f"{name} it"))
    return Caption(text, (_relates(a.look, name, b.look),))


def _which_is_which(scene: Scene, rng: Rng) -> Caption | None:
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
        claims.append(_shows(_only(look, known, told)))
    return Caption(pick(rng, (" and ", " while ")).join(clauses), tuple(claims))


def _larger(scene: Scene, rng: Rng) -> Caption | None:
    """Compares sizes: "the red star is larger than the blue circle"."""
    pairs = [(a, b) for a, b in _pairs(scene) if a["size"] != b["size"]]
    if not pairs:
        return None
    pair = pick(rng, pairs)
    a, b = (noun(_only(look, "shape", "colour"), rng) for look in pair)
    words = {"large": ("larger", "bigger"), "small": ("smaller",)}[pair[0]["size"]]
    claims = (_shows(_only(look, "shape", "colour", "size")) for look in pair)
    return Caption(f"the {a} is {pick(rng, words)} than the {b}", tuple(claims))


def _both(scene: Scene, rng: Rng) -> Caption | None:
    """Names two that share an attribute: "a star and a circle, both red"."""
    shared = pick(rng, ("colour", "size", "pattern"))
    pairs = [(a, b) for a, b in _pairs(scene) if a[shared] == b[shared]]
    if not pairs:
        return None
    pair = pick(rng, pairs)
    named = ("shape",) if shared == "colour" else ("shape", "colour")
    a, b = (with_article(noun(_only(look, *named), rng)) for look in pair)
    claims = (_shows(_only(look, *named, shared)) for look in pair)
    return Caption(f"{a} and {b}, both {word(pair[0][shared], rng)}", tuple(claims))


def _pairs(scene: Scene) -> list[tuple[Look, Look]]:
    """Returns the pairs of objects of which no other looks like either."""
    single = (group[0] for group in scene.groups() if len(group) == 1)
    return list(permutations((scene.objects[index].look for index in single), 2))


def _only(look: Look, *names: str) -> Look:
    return {name: look[name] for name in names}


# Kinds of sentences, and how often each is used; `None` where a scene gives no occasion for it.
GRAMMAR: dict[Callable[[Scene, Rng], Caption | None], float] = {
    _relation: 5,
    _relation_and_more: 3,
    _two_relations: 2,
    _names: 4,
    _total_and_names: 2,
    _count: 1,
    _share: 1,
    _which_is_which: 2,
    _larger: 1,
    _both: 1,
}


def _sentences(scene: Scene, rng: Rng) -> Iterator[Caption]:
    """Yields captions that are true of a scene, without end and with repetitions."""
    kinds, shares = list(GRAMMAR), np.array(list(GRAMMAR.values()))
    while True:
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        caption = kind(scene, rng)
        if caption:
            yield _placed(caption, scene, rng) if rng.random() < _WITH_BACKGROUND else caption


def _placed(caption: Caption, scene: Scene, rng: Rng) -> Caption:
    """Adds the background: "on squared paper, a red star"."""
    place = word(scene.background, rng)
    parts = (place, caption.text) if rng.random() < 0.5 else (caption.text, place)
    return Caption(
        ", ".join(parts), (*caption.claims, lambda other: other.background == scene.background)
    )


def describe(scene: Scene, rng: Rng, unlike: Sequence[Scene] = ()) -> list[Caption]:
    """Writes five captions of a scene: different and true, in lower case, without a full stop.

    Of each of up to five other scenes in `unlike`, at least one caption is false.

    Raises:
        MiteError: A scene in `unlike` cannot be told from `scene` in words.

    Example:
        >>> from mite_tf.scenes import sample_scenes
        >>> scene, *others = sample_scenes(4, seed=20)
        >>> describe(scene, np.random.default_rng(0), unlike=others)[1].text
        'the plain red triangle is higher up than a small heart'
    """
    stream = _sentences(scene, rng)
    chosen: dict[str, Caption] = {}
    for other in unlike:
        if all(caption.holds(other) for caption in chosen.values()):
            telling = (c for c in islice(stream, _TRIES) if not c.holds(other))
            caption = next(telling, None)
            if caption is None:
                raise MiteError(
                    f"No caption tells {scene} from {other}. Expected scenes that differ in what "
                    "words can say: an attribute, a number, a clear relation or the background."
                )
            chosen[caption.text] = caption
    while len(chosen) < _CAPTIONS_PER_IMAGE:
        caption = next(stream)
        chosen[caption.text] = caption
    captions = list(chosen.values())
    return [captions[k] for k in rng.permutation(len(captions))]
