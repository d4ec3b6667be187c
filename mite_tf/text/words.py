"""What a word is: the rules that the graph and `tokenizer.json` follow, without TensorFlow."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import chain

from mite_tf.errors import MiteError

# Blocks of scripts that put no spaces between words, in which every character is a word: Thai, Lao,
# Tibetan; Myanmar; Khmer; Tai Le, New Tai Lue; Tai Tham; Balinese; Han radicals, numerals and
# repeat marks, kana, Bopomofo; Han; Yi; Javanese; Tai Viet; Ahom; Tangut, Khitan; kana, Nushu; Han.
UNSPACED = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF),
    (0x1B00, 0x1B7F), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x303C), (0x3040, 0x312F),
    (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xA980, 0xA9FF),
    (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0x11700, 0x1174F), (0x16FE0, 0x18DFF), (0x1AFF0, 0x1B2FF),
    (0x20000, 0x3FFFD),
)  # fmt: skip
# What Unicode calls ignorable besides the category Cf: joiners, fillers and variation selectors.
IGNORED = (
    (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Two of these letters are a flag, as of Sweden and Spain, which one by one would be the same words.
FLAGS = (0x1F1E6, 0x1F1FF)
# Longer words are cut into words of this many characters. Hardly a word of any language is longer,
# and the time to look one up in `tokenizer.json` grows with the square.
LONGEST_WORD = 64
# Share of unknown words above which a warning is due: captions have about ten words, so that two
# in five lose one.
MANY_UNKNOWN = 0.05

# Characters without a letter, such as marks, that may stand between as many letters as are needed.
_MOST_BETWEEN = 8

_SPACE, _MARK, _ALONE_MARK, _ALONE, _FLAG, _LETTER = " ',.fa"


def split_words(
    text: str, *, lower_case: bool = True, strip_accents: bool = False
) -> tuple[str, ...]:
    """Splits a text into words as `WordPieceTokenizer` does before it looks them up.

    Equal to the graph for all characters of the version of Unicode that Python knows.

    Example:
        >>> split_words("A dog, 犬と猫 ที่")
        ('a', 'dog', ',', '犬', 'と', '猫', 'ที่')
    """
    text = unicodedata.normalize("NFD", text)
    if lower_case:
        text = unicodedata.normalize("NFKD", text.casefold()).casefold()
    text = "".join(character for character in text if _kind(character))
    text = unicodedata.normalize("NFKD", text)
    if strip_accents:
        text = "".join(each for each in text if unicodedata.category(each) != "Mn")
    kinds = "".join(map(_kind, text))
    kinds = re.sub(r"(^| )[',]+", lambda found: " " * len(found[0]), kinds)  # marks on nothing
    found = (text[slice(*each.span())] for each in re.finditer(r"(ff|[.,f])[',]*|a[a']*", kinds))
    return tuple(
        word[start : start + LONGEST_WORD]
        for word in found
        for start in range(0, len(word), LONGEST_WORD)
    )


@cache
def characters() -> tuple[str, ...]:
    """Returns all characters but surrogates that a rule may be about."""
    # Planes 4 to 13 are empty, 15 and 16 for private use: letters, all of them.
    return tuple(map(chr, (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))))


def character_class(members: Iterable[str]) -> str:
    r"""Returns a character class, as ranges, in the syntax that RE2, Oniguruma, JavaScript share.

    Example:
        >>> character_class("cab-")
        '[\\-a-c]'
    """
    ranges: list[list[int]] = []
    for code in sorted(map(ord, members)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return f"[{''.join(_range(*each) for each in ranges)}]"


def _range(first: int, last: int) -> str:
    ends = [re.sub(r"[\\\[\]^-]", r"\\\g<0>", chr(code)) for code in (first, last)]
    return ends[0] if first == last else "-".join(ends)


def one_of(texts: Iterable[str]) -> str:
    r"""Returns a pattern of these texts, the longer first, in the syntax that all three share.

    Example:
        >>> one_of(["[a]", "<s>s"])
        '<s>s|\\[a\\]'
    """
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return "|".join(re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text) for text in longest_first)


def beginning(pieces: Iterable[str], words: int) -> str:
    """Returns the beginning of a text that holds its first `words` words, whatever follows.

    As no word is longer than 64 characters, a text without an end costs no more than this part of
    it: 64 characters a word and one word more, of those that are certain to be part of one. White
    space and invisible characters in a row become one of them, which changes no word either.

    Args:
        pieces: The text, cut anywhere; no more of it is read than is needed.
        words: Number of words; each has one token id or more.

    Raises:
        MiteError: If hardly any of many characters can be part of a word; the sentence goes on
            after the name of the text.

    Example:
        >>> len(beginning(["dogs " * 1000], words=2))
        240
    """
    enough = LONGEST_WORD * (words + 1)
    kept: list[str] = []
    found, gap = 0, False
    for character in chain.from_iterable(re.sub(r"\s+", " ", piece) for piece in pieces):
        part = _part(character)
        if part == _LETTER:
            # What follows can change the last word alone: it is no mark of the one before.
            if found == enough:
                break
            found += 1
        elif part in ("", _SPACE) and gap:
            if part:
                kept[-1] = " "
            continue
        gap = part in ("", _SPACE)
        kept.append(character)
        if len(kept) > (1 + _MOST_BETWEEN) * enough:
            raise MiteError(
                f"has {len(kept) - found} marks and signs between its first {found} letters, "
                "which no text has. Send fewer of them."
            )
    return "".join(kept)


@lru_cache(1 << 14)
def _part(character: str) -> str:
    """Space, a character that is part of a word wherever it stands, or a mark; empty as `_kind`.

    The second starts a character in the sense of Unicode: no mark is sorted past it.
    """
    kind = _kind(character)
    if kind in ("", _SPACE):
        return kind
    forms = [unicodedata.normalize(form, character) for form in ("NFC", "NFD", "NFKD")]
    forms.append(unicodedata.normalize("NFKD", forms[1].casefold()))
    sure = unicodedata.category(character) != "Cn" and all(
        _kind(form[0]) in (_LETTER, _ALONE, _FLAG) and not unicodedata.combining(form[0])
        for form in (character, *forms)
    )
    return _LETTER if sure else _MARK


@lru_cache(1 << 16)
def _kind(character: str) -> str:
    """Space, mark, word of its own or part of one; empty for what is left out."""
    code, category = ord(character), unicodedata.category(character)
    if FLAGS[0] <= code <= FLAGS[1]:
        return _FLAG
    if category == "Cf" or any(first <= code <= last for first, last in IGNORED):
        return ""
    if category == "Cc" or category.startswith("Z"):
        return _SPACE
    unspaced = any(first <= code <= last for first, last in UNSPACED)
    if category.startswith("M"):
        return _ALONE_MARK if unspaced else _MARK
    if category[0] in "PS" or unspaced:
        return _ALONE
    return _LETTER
