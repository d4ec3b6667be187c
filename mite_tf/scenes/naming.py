"""Sentences that name and count objects."""

from mite_tf.scenes.claims import Caption, numbers, shows
from mite_tf.scenes.pick import Rng, pick
from mite_tf.scenes.scene import Scene
from mite_tf.scenes.words import NUMBERS, all_of, amount, listed, noun, word


def names(scene: Scene, rng: Rng) -> Caption:
    """Names all objects or some: "two green squares and a red star"."""
    groups = scene.groups()
    count = len(groups) if rng.random() < 0.7 else int(rng.integers(1, len(groups) + 1))
    phrases = [all_of(scene, groups[k], rng) for k in rng.permutation(len(groups))[:count]]
    start = pick(rng, ("", "", "a picture of ", f"there {phrases[0].be} "))
    text = start + listed([phrase.text for phrase in phrases])
    return Caption(text, tuple(shows(phrase.look, phrase.count) for phrase in phrases))


def total_and_names(scene: Scene, rng: Rng) -> Caption | None:
    """Says how many there are: "three shapes: two green squares and a red star"."""
    groups, total = scene.groups(), len(scene.objects)
    if total == 1:
        return None
    phrases = [all_of(scene, groups[k], rng) for k in rng.permutation(len(groups))]
    joint = ": "
    if phrases[0].count == 1 and rng.random() < 0.3:
        joint, phrases = ", one of them ", phrases[:1]
    text = f"{NUMBERS[total]} shapes{joint}{listed([phrase.text for phrase in phrases])}"
    claims = (shows(phrase.look, phrase.count) for phrase in phrases)
    return Caption(text, (numbers({}, total), *claims))


def count(scene: Scene, rng: Rng) -> Caption:
    """Counts what has some attributes: "only one red star", "exactly two small shapes"."""
    full = pick(rng, scene.objects).look
    named = rng.permutation(list(full))[: int(rng.integers(2, 4))]
    look = {name: full[name] for name in named.tolist()}
    number = scene.count(look)
    how = pick(rng, ("only", "just", "exactly"))
    verb = "is" if number == 1 else "are"
    start = pick(rng, ("", f"there {verb} "))
    text = f"{start}{how} {NUMBERS[number]} {noun(look, rng, plural=number > 1)}"
    return Caption(text, (numbers(look, number),))


def share(scene: Scene, rng: Rng) -> Caption | None:
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
    parts = []
    for group in scene.groups():
        look = scene.objects[group[0]].look
        if look[name] == value:
            named = {key: look[key] for key in ("shape", "colour", "size") if key != name}
            parts.append((named, len(group)))
    verb = "is" if number == 1 else "are"
    text = f"{who} {verb} {word(value, rng)}: {listed([amount(*p, rng) for p in parts])}"
    claims = (shows(named | shared, size) for named, size in parts)
    return Caption(text, (numbers({}, total), numbers(shared, number), *claims))
