"""Texts to the ids of a byte-pair vocabulary, inside the TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_text

from mite_tf.text.tokenizer import TextTokenizer
from mite_tf.text.words import character_class

# White space as Unicode has it.
SPACES = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
# Longer words are cut: each of their pairs is looked up once for each of their merges.
LONGEST = 64
_ENGLISH = "'s|'t|'re|'ve|'m|'ll|'d"
_CUT = "\n"  # between words, where no white space but a space is left
_NEVER = 1 << 30  # rank of a pair that is not merged


def words_pattern(of_clip: bool, letter: str, number: str) -> str:
    """Returns what a word is to CLIP or to GPT-2; white space in a row is one space here.

    `letter` and `number` are the insides of character classes.
    """
    if of_clip:
        return f"{_ENGLISH}|[{letter}]+|[{number}]|[^ {letter}{number}]+"
    return f"{_ENGLISH}| ?[{letter}]+| ?[{number}]+| ?[^ {letter}{number}]+"


@keras.saving.register_keras_serializable(package="mite_tf")
class BytePairTokenizer(TextTokenizer):
    """Turns texts into the ids of a byte-pair vocabulary, padded with 0.

    Ids are those of the network plus 1, so that padding is none of its tokens. Texts are cut into
    words as CLIP or GPT-2 (and RoBERTa, which took it over) do, but white space in a row counts
    once; then, in the bytes of each word, the pair that stands first in `merges` is merged, again
    and again. A word of more than 64 characters is cut. It is made of core operations alone.

    Args:
        vocabulary: `[PAD]`, then the entries of the network by their ids; bytes are written as the
            letters of GPT-2.
        merges: Pairs of entries, with a space between, the first of them merged first.
        max_length: Largest number of ids of a text, both ends included.
        ends: The entries that stand before and behind every text; empty for none.
        unknown: The entry for bytes that the vocabulary lacks; empty if it has all.
        suffix: What ends an entry that ends a word: `</w>` for CLIP, which then also folds case;
            empty for GPT-2.
        left_out: Characters that are dropped, as NUL is; only with a suffix.

    Call arguments and result are those of `TextTokenizer`.

    Raises:
        ValueError: If these do not fit together.

    Example:
        >>> vocabulary = ["[PAD]", "<unk>", "a", "d", "o", "g", "do", "dog", "Ġ", "Ġdog"]
        >>> merges = ["d o", "do g", "Ġ dog"]
        >>> tokenizer = BytePairTokenizer(vocabulary, merges, unknown="<unk>")
        >>> tokenizer(tf.constant(["a  dog", "do!"])).numpy().tolist()
        [[2, 9], [6, 1]]
    """

    kind = "bytepair"

    def __init__(
        self,
        vocabulary: Sequence[str],
        merges: Sequence[str],
        max_length: int = 48,
        *,
        ends: Sequence[str] = ("", ""),
        unknown: str = "",
        suffix: str = "",
        left_out: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_length, ends, unknown, **kwargs)
        self.merges = list(merges)
        self.suffix = suffix
        self.left_out = left_out
        self.lower_case = bool(suffix)
        numbers = {entry: number for number, entry in enumerate(vocabulary)}
        letters = byte_letters()
        found = [[numbers.get(each + end) for each in letters] for end in ("", suffix)]
        if not unknown and None in (*found[0], *found[1]):
            raise ValueError("The vocabulary lacks a byte, and there is no unknown entry.")
        rest = numbers.get(unknown, 0)
        self._within, self._last = (
            np.array([rest if each is None else each for each in row], np.int32) for row in found
        )
        pairs = [merge.split(" ") for merge in merges]
        entries = {entry for pair in pairs for entry in (*pair, "".join(pair))}
        if any(len(pair) != 2 for pair in pairs) or not entries <= numbers.keys():
            raise ValueError("Each merge is of two entries of the vocabulary, and makes a third.")
        keys = [numbers[a] * len(vocabulary) + numbers[b] for a, b in pairs]
        # One that stands there twice has its first rank.
        self._keys, self._ranks = np.unique(np.array([*keys, -1], np.int64), return_index=True)
        merged = np.array([*(numbers[a + b] for a, b in pairs), 0], np.int32)
        self._merged = merged[self._ranks]

    def split(self, inputs: Any) -> tf.RaggedTensor:
        """Returns the words of texts `[N, (W)]`."""
        replace = tf.strings.regex_replace
        texts = tf.strings.unicode_transcode(
            tf.convert_to_tensor(inputs, tf.string), "UTF-8", "UTF-8"
        )
        texts = replace(replace(self.normalize(texts), SPACES, " "), "^ | $", "")
        pattern = words_pattern(bool(self.suffix), r"\p{L}", r"\p{N}")
        texts = replace(texts, pattern, rf"\0{_CUT}")
        if self.suffix:
            texts = replace(texts, " ", "")
        texts = replace(texts, f"[^{_CUT}]{{{LONGEST}}}", rf"\0{_CUT}")
        words = tf.strings.split(texts, sep=_CUT)
        return tf.ragged.boolean_mask(words, words != "")

    def normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Brings texts into the form that the network was trained on."""
        if not self.suffix:
            return texts
        texts = tf.strings.regex_replace(texts, character_class(f"\0{self.left_out}"), "")
        texts = tensorflow_text.normalize_utf8(texts, "NFC")
        # A capital sigma would become another letter at the end of a word.
        return tf.strings.lower(tf.strings.regex_replace(texts, "Σ", "σ"), encoding="utf-8")

    def pieces(self, inputs: Any) -> tf.RaggedTensor:
        words = self.split(inputs)
        each, which = tf.unique(words.flat_values)
        ids = tf.gather(self._merge(self._bytes(each)), which)
        ids = tf.RaggedTensor.from_tensor(ids, padding=0)
        return words.with_flat_values(ids).merge_dims(-2, -1)

    def _bytes(self, words: tf.Tensor) -> tf.Tensor:
        """Returns the entries that bytes are, of words `[W]`: int32 `[W, L]`, padded with 0."""
        single = tf.strings.bytes_split(words)
        numbers = tf.reshape(tf.io.decode_raw(single.flat_values, tf.uint8), [-1])
        numbers = tf.cast(numbers, tf.int32)
        within, last = (
            tf.gather(table, single.with_flat_values(numbers))
            for table in (self._within, self._last)
        )
        return tf.concat([within[:, :-1], last[:, -1:]], axis=1).to_tensor(0)

    def _merge(self, ids: tf.Tensor) -> tf.Tensor:
        """Merges pairs of entries, of all words at a time, until there is none to merge."""
        keys, ranks, merged = map(tf.constant, (self._keys, self._ranks, self._merged))
        size = tf.constant(len(self.vocabulary), tf.int64)

        def best(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """Where the pair of each word is that is merged next, and where in `keys`, or -1."""
            # Padding makes no pair that is merged, and that there is one where there is no word.
            wide = tf.cast(tf.pad(ids, [[0, 0], [0, 2]]), tf.int64)
            pairs = wide[:, :-1] * size + wide[:, 1:]
            at = tf.searchsorted(keys, tf.reshape(pairs, [-1]))
            at = tf.reshape(tf.minimum(at, len(self._keys) - 1), tf.shape(pairs))
            rank = tf.where(tf.gather(keys, at) == pairs, tf.gather(ranks, at), _NEVER)
            place = tf.argmin(rank, axis=1, output_type=tf.int32)
            found = tf.reduce_min(rank, axis=1) < _NEVER
            return place, tf.where(found, tf.gather(at, place, batch_dims=1), -1)

        def step(ids: tf.Tensor, place: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # Those without a pair are left as they are: nothing is at or behind their place.
            length = tf.shape(ids)[1]
            place = tf.where(at < 0, length, place)[:, None]
            column = tf.range(length)[None]
            behind = tf.minimum(column + tf.cast(column > place, tf.int32), length)
            moved = tf.gather(tf.pad(ids, [[0, 0], [0, 1]]), behind, batch_dims=1)
            together = tf.gather(merged, tf.maximum(at, 0))[:, None]
            ids = tf.where(column == place, together, moved)
            return ids, *best(ids)

        shapes = (tf.TensorShape([None, None]), tf.TensorShape([None]), tf.TensorShape([None]))
        ids, _, _ = tf.while_loop(
            lambda ids, place, at: tf.reduce_any(at >= 0),
            step,
            (ids, *best(ids)),
            shape_invariants=shapes,
        )
        return ids

    def settings(self) -> dict[str, Any]:
        names = ("merges", "ends", "unknown", "suffix", "left_out")
        return {**super().settings(), **{name: getattr(self, name) for name in names}}


def byte_letters() -> list[str]:
    """Returns the letters that GPT-2 writes for the 256 bytes.

    Example:
        >>> letters = byte_letters()
        >>> letters[ord("a")], letters[ord(" ")]
        ('a', 'Ġ')
    """
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unseen = iter(range(0x100, 0x200))
    return [chr(byte if byte in seen else next(unseen)) for byte in range(256)]
