"""Sentences that relate objects: where word order decides what is true."""

from itertools import permutations

from mite_tf.scenes.claims import Caption, relates, shows
from mite_tf.scenes.pick import Rng, pick
from mite_tf.scenes.scene import Scene
from mite_tf.scenes.words import all_of, one, word

FRAMES = (
    "{a.text} {where} {b.known}",
    "{a.text} {where} {b.known}",
    "{a.known} is {where} {b.known}",
    "{a.known} sits {where} {b.known}",
    "{where} {b.known} there is {a.text}",
    "{b.text} with {a.text} {its}",
)
"""Sentences for every relation; `where` is its word and `its` the same seen from the other."""

FRAMES_OF = {
    "inside": ("{b.text} around {a.text}", "{b.known} surrounds {a.known}"),
    "on": ("{a.text} drawn on {b.known}", "{b.text} that carries {a.text}"),
    "in front of": ("{a.known} partly covers {b.known}",),
    "behind": ("{a.known} is partly hidden by {b.known}",),
}
"""Sentences for one relation only."""

ITS = {"left of": "on its left", "right of": "on its right"}
"""What is not said by the relation and "it"."""

Triple = tuple[int, str, int]


def relation(scene: Scene, rng: Rng) -> Caption | None:
    """Relates two objects: "a red star left of a blue circle"."""
    triples = _triples(scene)
    return _related(scene, pick(rng, triples), rng) if triples else None


def relation_and_more(scene: Scene, rng: Rng) -> Caption | None:
    """Relates two objects and name others: "..., and there are two green squares"."""
    choices = [
        ((i, name, j), group)
        for i, name, j in _triples(scene)
        for group in scene.groups()
        if not {i, j} & set(group)
    ]
    if not choices:
        return None
    triple, group = pick(rng, choices)
    first, more = _related(scene, triple, rng), all_of(scene, group, rng)
    joint = pick(rng, ("; there", ", and there"))
    text = f"{first.text}{joint} {more.be} {more.text}"
    return Caption(text, (*first.claims, shows(more.look, more.count)))


def two_relations(scene: Scene, rng: Rng) -> Caption | None:
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
    return Caption(text, (relates(a.look, name, b.look), relates(a.look, other, c.look)))


def _triples(scene: Scene) -> list[Triple]:
    """Returns the relations between objects that words can tell apart."""
    objects = scene.objects
    return [(i, r, j) for i, r, j in scene.relations() if objects[i].look != objects[j].look]


def _related(scene: Scene, triple: Triple, rng: Rng) -> Caption:
    i, name, j = triple
    a, b = one(scene, i, rng), one(scene, j, rng)
    frame = pick(rng, FRAMES + FRAMES_OF.get(name, ()))
    text = frame.format(a=a, b=b, where=word(name, rng), its=ITS.get(name, f"{name} it"))
    return Caption(text, (relates(a.look, name, b.look),))
