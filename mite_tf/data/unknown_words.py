"""Words that no caption of the train split can teach."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.problem import Problem, quote
from mite_tf.text import split_words
from mite_tf.text.words import MANY_UNKNOWN

# No context reaches across a space, so that most words need to be looked at once.
_words = lru_cache(1 << 16)(split_words)


def shares_of_unknown_words(table: CaptionedImages) -> dict[str, float]:
    """Returns the share of words, by split, that hold a character which train lacks.

    A vocabulary learned from train holds each of its characters, so these words are unknown and all
    others are not. Empty where there is no split `train`.
    """
    known = _known(table)
    shares = {}
    for split in table.splits if known else ():
        if split != "train":
            words = [
                word for row in table.split(split) for each in row.captions for word in _of(each)
            ]
            shares[split] = sum(not known.issuperset(word) for word in words) / max(1, len(words))
    return shares


def find_unknown(table: CaptionedImages, shares: Mapping[str, float]) -> Iterator[Problem]:
    """Yields a problem for each split with many unknown words, and for each caption of no other."""
    for split, share in shares.items():
        if share > MANY_UNKNOWN:
            message = f"{share:.0%} of the words of {split} hold a character that no caption of "
            yield Problem("unknown-words", f"{message}train has: they will be unknown")
    known = _known(table)
    for row in table if shares else ():
        for caption in row.captions if row.split != "train" else ():
            if not any(known.issuperset(word) for word in _of(caption)):
                message = (
                    f"{row.image}: no word of the caption {quote(caption)} can be known: each "
                )
                message += "holds a character that no caption of train has"
                yield Problem("unknown-caption", message, row.where, row.image)


def _known(table: CaptionedImages) -> set[str]:
    if "train" not in table.splits:
        return set()
    return {c for caption in table.split("train").captions for word in _of(caption) for c in word}


def _of(caption: str) -> Iterable[str]:
    return (word for part in caption.split(" ") for word in _words(part))
