"""The words of captions: names and synonyms, and the noun phrases made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from mite_tf.scenes.scene import Rng, Scene, pick

Look = dict[str, str]  # some attributes of an object, by name

# Each attribute, relation and background by its names; the first is the usual one.
_WORDS: dict[str, tuple[str, ...]] = {
    # shapes
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "cross": ("cross", "plus sign"),
    "ring": ("ring", "hoop"),
    "crescent": ("crescent", "moon"),
    # colours
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "cobalt"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "black": ("black", "jet-black"),
    # sizes
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
    # patterns
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "checkered": ("checkered", "checked"),
    # relations
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "higher up than"),
    "below": ("below", "lower down than"),
    "inside": ("inside", "within"),
    # backgrounds
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
_MARKS = {"striped": "stripes", "dotted": "dots", "checkered": "checks"}
NUMBERS = ("no", "one", "two", "three", "four")


@dataclass(frozen=True)
class Phrase:
    """A noun phrase."""

    text: str  # introduces its object: "a red star", "two red stars"
    known: str  # may also point to it: "the red star" at times, where no other is like it
    look: Look  # the attributes that the phrase commits to
    count: int = 1

    @property
    def be(self) -> str:
        """The verb that the phrase takes: "is" or "are"."""
        return "is" if self.text.startswith(("a ", "an ")) else "are"


def word(name: str, rng: Rng) -> str:
    """Returns a word for an attribute, a relation or a background: the usual one mostly."""
    words = _WORDS.get(name, (name,))
    return words[0] if rng.random() < 0.6 else pick(rng, words)


def noun(look: Look, rng: Rng, plural: bool = False, tail: bool = False) -> str:
    """Names what has the attributes of `look`, without an article: "big red stars".

    With `tail` the pattern may follow the noun: "red star with white stripes".
    """
    size, pattern, colour = (
        [word(look[name], rng)] if name in look else [] for name in ("size", "pattern", "colour")
    )
    head = word(look.get("shape", "shape"), rng)
    if plural:
        head += "es" if head.endswith(("s", "x")) else "s"
    if tail and look.get("pattern") in _MARKS and rng.random() < 0.3:
        return " ".join([*size, *colour, head, "with white", _MARKS[look["pattern"]]])
    middle = pattern + colour
    if look.get("pattern") != "plain" and rng.random() < 0.4:
        middle.reverse()
    return " ".join([*size, *middle, head])


def one(scene: Scene, index: int, rng: Rng) -> Phrase:
    """Speaks of one object, with enough attributes to tell it from all that look otherwise."""
    look = _telling_look(scene, index, rng)
    bare = noun(look, rng)
    text = with_article(bare)
    definite = scene.count(look) == 1 and rng.random() < 0.4
    return Phrase(text, f"the {bare}" if definite else text, look)


def all_of(scene: Scene, group: Sequence[int], rng: Rng) -> Phrase:
    """Speaks of all objects that look alike: "two red stars", "a red star with white dots"."""
    look = _telling_look(scene, group[0], rng)
    text = amount(look, len(group), rng, tail=True)
    return Phrase(text, text, look, len(group))


def amount(look: Look, count: int, rng: Rng, tail: bool = False) -> str:
    """Names as many as there are: "a red star", "two red stars", "a pair of red stars"."""
    bare = noun(look, rng, plural=count > 1, tail=tail)
    if count == 1:
        return with_article(bare)
    return f"a pair of {bare}" if count == 2 and rng.random() < 0.2 else f"{NUMBERS[count]} {bare}"


def with_article(text: str) -> str:
    """Puts "a" or "an" before a noun phrase."""
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def listed(texts: Sequence[str]) -> str:
    """Joins texts as a sentence does: "a star, a ring and two hearts"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _telling_look(scene: Scene, index: int, rng: Rng) -> Look:
    """Chooses attributes of an object, enough to tell it from all that look otherwise."""
    full = scene.objects[index].look
    chances = {"shape": 0.95, "colour": 0.92, "size": 0.6, "pattern": 0.8}
    if full["pattern"] == "plain":
        chances["pattern"] = 0.35
    named = {name for name, chance in chances.items() if rng.random() < chance}
    for name in ("colour", "shape"):
        if scene.count({n: full[n] for n in named}) > scene.count(full):
            named.add(name)
    return {name: value for name, value in full.items() if name in named}
