"""A small parser of captions, which knows English words and nothing of how captions are made."""

import itertools
import math
import re
from dataclasses import dataclass

from mite_tf.scenes import Scene, SceneObject

MEANINGS = {
    ("shape", "circle"): "circle disc",
    ("shape", "square"): "square box",
    ("shape", "triangle"): "triangle",
    ("shape", "star"): "star",
    ("shape", "heart"): "heart",
    ("shape", "cross"): "cross plus_sign",
    ("shape", "ring"): "ring hoop",
    ("shape", "crescent"): "crescent moon",
    ("shape", "any"): "shape",
    ("colour", "red"): "red crimson scarlet",
    ("colour", "orange"): "orange tangerine",
    ("colour", "yellow"): "yellow golden",
    ("colour", "green"): "green emerald",
    ("colour", "blue"): "blue cobalt",
    ("colour", "purple"): "purple violet",
    ("colour", "pink"): "pink rosy",
    ("colour", "black"): "black jet-black",
    ("size", "small"): "small little tiny",
    ("size", "large"): "large big",
    ("pattern", "plain"): "plain solid",
    ("pattern", "striped"): "striped stripy with_white_stripes",
    ("pattern", "dotted"): "dotted spotted polka-dot with_white_dots",
    ("pattern", "checkered"): "checkered checked with_white_checks",
}
WORDS = {word: meaning for meaning, words in MEANINGS.items() for word in words.split()}
NOUNS = {w + end for w, (key, _) in WORDS.items() if key == "shape" for end in ("", "s", "es")}
NUMBERS = {"a": 1, "an": 1, "the": 1, "one": 1, "a pair of": 2, "two": 2, "three": 3, "four": 4}
PLACES = {
    "white": ("on a white background", "against plain white"),
    "grey": ("on a grey background", "against plain grey"),
    "cream": ("on a cream background", "on a beige background"),
    "paper": ("on squared paper", "on a sheet of graph paper"),
    "fading": (
        "on a background fading from blue to white",
        "on a blue background that fades to white",
    ),
    "sunset": ("before a sunset sky", "at sunset"),
    "meadow": ("in a meadow", "on green grass under the sky"),
    "beach": ("on a beach", "where sand meets the sea"),
}
RELATIONS = {
    "left of": "(?:to the )?left of",
    "right of": "(?:to the )?right of",
    "above": "above|higher up than",
    "below": "below|lower down than",
    "inside": "inside|within",
    "on": "on|drawn on",
    "in front of": "in front of|partly covers",
    "behind": "behind|is partly hidden by",
}
REVERSED = {
    "left of": "with N on its left",
    "right of": "with N on its right",
    "above": "with N above it",
    "below": "with N below it",
    "inside": "with N inside it|around N|surrounds N",
    "on": "with N on it|that carries N",
    "in front of": "with N in front of it",
    "behind": "with N behind it",
}
NOUN_PHRASE = re.compile(
    r"\b(a pair of|an?|the|one|two|three|four)((?: (?:{}))* (?:{})\b)((?: with_white_\w+)?)".format(
        "|".join(sorted(w for w, (key, _) in WORDS.items() if key != "shape")),
        "|".join(sorted(NOUNS, key=len, reverse=True)),
    )
)


@dataclass
class Mention:
    """What a noun phrase speaks of: so many objects, or at least one, with these attributes."""

    look: dict[str, str]
    number: int
    exact: bool
    definite: bool = False


@dataclass
class Reading:
    """A parsed caption."""

    mentions: list[Mention]
    relations: list[tuple[int, str, int]]
    background: str | None


def read(text: str) -> Reading:
    """Parse a caption, or fail."""
    background = None
    for name, phrases in PLACES.items():
        for phrase in phrases:
            if text.startswith(f"{phrase}, ") or text.endswith(f", {phrase}"):
                background = name
                text = text.removeprefix(f"{phrase}, ").removesuffix(f", {phrase}")
    text = re.sub(r"^both shapes", "all two shapes", joined(text))
    mentions: list[Mention] = []

    def take(match: re.Match[str]) -> str:
        number, words, tail = match.groups()
        look = dict(meaning(word) for word in (words + tail).split())
        look = {key: value for key, value in look.items() if value != "any"}
        exact = NUMBERS[number] > 1
        mentions.append(Mention(look, NUMBERS[number], exact, definite=number == "the"))
        return "N"

    shape = NOUN_PHRASE.sub(take, text)
    return Reading(mentions, relations_of(shape, mentions), background)


def joined(text: str) -> str:
    """Makes one word of each expression of several words."""
    return re.sub(r"with white (\w+)", r"with_white_\1", text).replace("plus sign", "plus_sign")


def meaning(word: str) -> tuple[str, str]:
    """Look up a word, singular or plural."""
    return next(WORDS[w] for w in (word, word[:-1], word[:-2]) if w in WORDS)


def relations_of(shape: str, mentions: list[Mention]) -> list[tuple[int, str, int]]:
    """Understand what stands around the noun phrases `N`; sharpen the mentions in place."""
    some = r"N(?:(?:, N)* and N)?"
    clause = re.sub(r"(?:;|, and) there (?:is|are) N$", "", shape)
    for name, words in RELATIONS.items():
        if re.fullmatch(rf"(?:{words}) N there is N|N (?:{REVERSED[name]})", clause):
            return [(1, name, 0)]
        if re.fullmatch(rf"N (?:is |sits )?(?:{words}) N", clause):
            return [(0, name, 1)]
    for (one, a), (two, b) in itertools.product(RELATIONS.items(), repeat=2):
        if re.fullmatch(rf"N (?:is |sits )?(?:{a}) N and (?:{b}) N", shape):
            return [(0, one, 1), (0, two, 2)]
    if re.fullmatch(rf"(?:a picture of |there (?:is|are) |N: |N, one of them )?{some}", shape):
        return []
    if re.fullmatch(r"(?:there (?:is|are) )?(?:only|just|exactly) N", shape):
        mentions[0].exact = True
        return []
    if match := re.fullmatch(r"N is (larger|bigger|smaller) than N", shape):
        sizes = ("small", "large") if match[1] == "smaller" else ("large", "small")
        for mention, size in zip(mentions, sizes, strict=True):
            mention.look["size"] = size
        return []
    if match := re.fullmatch(r"N and N, both (\S+)", shape):
        for mention in mentions:
            mention.look |= dict([meaning(match[1])])
        return []
    if match := re.fullmatch(r"N is (\S+) (?:and|while) N is (\S+)", shape):
        if match[1] == "N":
            told = [mentions.pop(1).look, mentions.pop(2).look]
        else:
            told = [dict([meaning(word)]) for word in match.groups()]
        for mention, look in zip(mentions, told, strict=True):
            mention.look |= look
        return []
    pattern = rf"(?:exactly (one|two|three) of the N|all N) (?:is|are) (\S+): {some}"
    if match := re.fullmatch(pattern, shape):
        total, *named = mentions
        shared = dict([meaning(match[2])])
        for mention in named:
            mention.look |= shared
        number = NUMBERS[match[1]] if match[1] else total.number
        mentions.append(Mention(shared, number, exact=True))
        return []
    raise AssertionError(f"The parser does not understand {shape!r}.")


def is_true(reading: Reading, scene: Scene, lenient: bool = False) -> bool:
    """Judge a caption: some choice of objects for its noun phrases makes all of it true."""
    if reading.background not in (None, scene.background):
        return False
    choices = []
    for mention in reading.mentions:
        found = [i for i, thing in enumerate(scene.objects) if thing.matches(mention.look)]
        if len(found) != mention.number and (mention.exact or not found):
            return False
        if mention.definite and not lenient and len(found) != 1:
            return False
        choices.append(found)
    related = {index for a, _, b in reading.relations for index in (a, b)}
    return any(
        all(
            stands(scene.objects, choice[a], name, choice[b], lenient)
            for a, name, b in reading.relations
        )
        for choice in itertools.product(*(choices[k] for k in sorted(related)))
    )


def stands(
    objects: tuple[SceneObject, ...], i: int, name: str, j: int, lenient: bool = False
) -> bool:
    """Judge a relation by the places of the objects, strictly or leniently."""
    inverse = {"right of": "left of", "below": "above", "behind": "in front of"}
    if name in inverse:
        return stands(objects, j, inverse[name], i, lenient)
    a, b = objects[i], objects[j]
    dx, dy = b.x - a.x, b.y - a.y
    distance = math.hypot(dx, dy)
    if name in ("left of", "above"):
        along, across = (dx, dy) if name == "left of" else (dy, dx)
        return along > 0.1 if lenient else along > 0.25 and abs(across) < 0.5 * along
    if name == "inside":
        return b.shape == "ring" and i != j and distance + a.radius < 0.66 * b.radius
    covers = i > j and distance < a.radius + b.radius
    if lenient:
        return covers
    return covers and (distance + a.radius < b.radius) == (name == "on")
