"""`tokenizer.json`: the tokenizer of the graph, in the format of Hugging Face `tokenizers`.

The graph maps every code point by itself (case, compatibility forms, accents), splits at white
space, punctuation and CJK characters, and cuts words into pieces. No ready-made normalizer does
the same to the last character, so the rules are read off the graph's own operations, code point
by code point, and written as plain character classes: these depend on no version of Unicode and
mean the same to every language that reads the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import tensorflow as tf
import tensorflow_text
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from mite_tf.errors import MiteError
from mite_tf.text import PADDING, UNKNOWN, WordPieceTokenizer

# Longest word that the graph looks up, in bytes; a longer one is unknown.
_LONGEST_WORD = 100
_SUFFIX = "##"
_SYLLABLES = {chr(code) for code in range(0xAC00, 0xD7A4)}
_JAMO = {chr(code) for code in range(0x1100, 0x1200)}


def tokenizer_json(tokenizer: WordPieceTokenizer) -> Tokenizer:
    """Builds the tokenizer that gives the same ids as the graph; `save(path)` writes the file.

    It cuts at `max_length` ids and pads with 0 to the longest of a batch. The graph measures words
    in bytes, so the vocabulary is written in the alphabet of bytes that `ByteLevel` maps to; ASCII
    stays as it is.

    Example:
        >>> layer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog", "run", "##s"])
        >>> tokenizer_json(layer).encode("Á DOG, runs").ids
        [2, 3, 1, 4, 5]
    """
    spaces, isolated = _separators()
    mapped = _normalized(tokenizer.lower_case)
    known = {c for entry in tokenizer.vocabulary for c in entry.removeprefix(_SUFFIX) or entry}
    known -= mapped.keys()  # the graph never gets to see these
    unknown_word = next(c for c in map(chr, range(0x250, 0x500)) if c not in known | mapped.keys())
    unknown_isolated = next(c for c in sorted(isolated) if c not in known | mapped.keys())

    def as_looked_up(text: str) -> str:
        """All that the vocabulary tells apart in a normalised text."""
        return "".join(
            " " if c in spaces
            else c if c in known
            else unknown_isolated if c in isolated
            else unknown_word
            for c in text
        )  # fmt: skip

    by_arithmetic = _SYLLABLES & mapped.keys() if known & _JAMO else set()
    rules = defaultdict(list)
    for character in mapped.keys() - by_arithmetic:
        rules[as_looked_up(mapped[character])].append(character)
    rules[" "] += spaces - mapped.keys()
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(_one_of(rules[text]), text) for text in sorted(rules)
    ]
    if by_arithmetic:
        steps.append(normalizers.NFD())  # instead of 11,172 rules

    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    entries = [in_bytes.pre_tokenize_str(entry)[0][0] for entry in tokenizer.vocabulary]
    result = Tokenizer(
        models.WordPiece(
            {entry: number for number, entry in enumerate(entries)},
            unk_token=UNKNOWN,
            continuing_subword_prefix=_SUFFIX,
            max_input_chars_per_word=_LONGEST_WORD,
        )
    )
    result.normalizer = normalizers.Sequence(steps)
    result.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_one_of(isolated), "isolated"),
            pre_tokenizers.WhitespaceSplit(),
            in_bytes,
        ]
    )
    result.enable_truncation(tokenizer.max_length)
    result.enable_padding(pad_id=0, pad_token=PADDING)
    return result


def check_ids(path: str | Path, tokenizer: WordPieceTokenizer, captions: Sequence[str]) -> None:
    """Compares a `tokenizer.json` with the graph, on captions.

    Raises:
        MiteError: If a caption gets other ids; the first such caption is named.
    """
    written = Tokenizer.from_file(str(path))
    written.no_padding()
    found = written.encode_batch(list(captions))
    for caption, ids, encoding in zip(captions, tokenizer.table(captions).ids, found, strict=True):
        if ids[: len(encoding.ids)].tolist() != encoding.ids or ids[len(encoding.ids) :].any():
            raise MiteError(
                f"{path}: gives {encoding.ids} where the graph gives {ids[ids > 0].tolist()}, for "
                f"the caption {caption!r}."
            )


@cache
def _normalized(lower_case: bool) -> dict[str, str]:
    """What the graph makes of each character that it does not leave as it is."""
    normalizer = tensorflow_text.FastBertNormalizer(lower_case_nfd_strip_accents=lower_case)
    characters = _characters()
    results = normalizer.normalize(tf.constant(characters)).numpy()
    pairs = zip(characters, map(bytes.decode, results), strict=True)
    return {character: text for character, text in pairs if text != character}


@cache
def _separators() -> tuple[set[str], set[str]]:
    """Characters at which the graph splits: those that vanish, and those that stand alone."""
    pieces = tensorflow_text.FastWordpieceTokenizer(
        ["a", UNKNOWN], token_out_type=tf.int32, unknown_token=UNKNOWN
    )
    characters = _characters()
    counts = pieces.tokenize(tf.constant([f"a{c}a" for c in characters])).row_lengths().numpy()
    spaces = {c for c, count in zip(characters, counts, strict=True) if count == 2}
    isolated = {c for c, count in zip(characters, counts, strict=True) if count == 3}
    return spaces, isolated


@cache
def _characters() -> list[str]:
    return [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def _one_of(characters: Iterable[str]) -> Regex:
    """Character class, as ranges, in the syntax that Oniguruma and JavaScript share."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return Regex(f"[{''.join(_range(*each) for each in ranges)}]")


def _range(first: int, last: int) -> str:
    ends = [re.sub(r"[\\\[\]^-]", r"\\\g<0>", chr(code)) for code in (first, last)]
    return ends[0] if first == last else "-".join(ends)
