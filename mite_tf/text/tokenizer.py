"""Texts to WordPiece ids, inside the TensorFlow graph, and the vocabulary for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_text

from mite_tf.errors import MiteError
from mite_tf.reading import reading
from mite_tf.text.words import FLAGS, IGNORED, LONGEST_WORD, UNSPACED

PADDING = "[PAD]"
UNKNOWN = "[UNK]"


def _ranges(blocks: Sequence[tuple[int, int]]) -> str:
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in blocks)


# The rules of `words`, in the syntax of RE2.
_LEFT_OUT = rf"[\p{{Cf}}{_ranges(IGNORED)}]"
_SPACES = r"[\p{Z}\p{Cc}]+"
_MARKS_ON_NOTHING = r"(^| )\p{M}+"
_ALONE = rf"(?:[{_ranges([FLAGS])}]{{2}}|[\p{{P}}\p{{S}}{_ranges(UNSPACED)}])\p{{M}}*"
_WHOLE = rf"[^ ]{{{LONGEST_WORD}}}"


class TokenTable(NamedTuple):
    """Token ids of many captions, how many of these had to be cut, and how much is unknown."""

    ids: np.ndarray  # int32 [captions, longest], padded with 0 on the right
    truncated: int
    unknown: float  # share of the tokens that stand for an unknown word


def split_in_graph(texts: Any, lower_case: bool, strip_accents: bool) -> tf.RaggedTensor:
    """Splits texts `[N]` into words `[N, (W)]`, inside the graph."""
    replace = tf.strings.regex_replace
    texts = replace(normalize_in_graph(texts, lower_case, strip_accents), _SPACES, " ")
    texts = replace(replace(texts, _MARKS_ON_NOTHING, r"\1"), _ALONE, r" \0 ")
    return tf.strings.split(replace(texts, _WHOLE, r"\0 "))


def normalize_in_graph(texts: Any, lower_case: bool, strip_accents: bool) -> tf.Tensor:
    """Brings texts into one form, inside the graph; bytes that are no UTF-8 become U+FFFD."""
    texts = tf.strings.unicode_transcode(tf.convert_to_tensor(texts, tf.string), "UTF-8", "UTF-8")
    texts = tensorflow_text.normalize_utf8(texts, "NFD")
    if lower_case:
        texts = tensorflow_text.case_fold_utf8(texts)  # compatibility forms, too
    texts = tensorflow_text.normalize_utf8(tf.strings.regex_replace(texts, _LEFT_OUT, ""), "NFKD")
    return tf.strings.regex_replace(texts, r"\p{Mn}", "") if strip_accents else texts


class TextTokenizer(keras.layers.Layer):
    """Base of the layers that turn texts into token ids, padded with 0; they run in a graph.

    Args:
        vocabulary: The entries by their ids, `[PAD]` first.
        max_length: Largest number of ids kept of a text, both ends included.
        ends: The entries that stand before and behind every text; empty for none.
        unknown: The entry for what the vocabulary lacks; empty if it lacks nothing.

    Call arguments:
        inputs: string tensor `[N]`, UTF-8.

    Returns:
        int32 tensor `[N, L]` with L at most `max_length`.

    Raises:
        ValueError: If the vocabulary lacks an entry, or nothing of a text would be kept.
    """

    kind = ""
    first: tuple[str, ...] = (PADDING,)  # of every vocabulary
    lower_case = strip_accents = False

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int = 48,
        ends: Sequence[str] = ("", ""),
        unknown: str = UNKNOWN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if tuple(vocabulary[: len(self.first)]) != self.first:
            raise ValueError(
                f"A vocabulary starts with {' and '.join(map(repr, self.first))}. "
                f"Received: vocabulary[:2]={list(vocabulary[:2])}"
            )
        absent = sorted({*ends, unknown} - {"", *vocabulary})
        if absent:
            raise ValueError(f"The vocabulary lacks {', '.join(absent)}.")
        if max_length <= sum(map(bool, ends)):
            raise ValueError(
                f"`max_length` must be at least {1 + sum(map(bool, ends))}. "
                f"Received: max_length={max_length}"
            )
        self.vocabulary = list(vocabulary)
        self.max_length = max_length
        self.ends = tuple(ends)
        self.unknown = unknown
        self._space: list[int] = []  # the entry for a space alone
        # Of the entry before, of that behind, and of what is unknown.
        self._before, self._behind, self._unknown = (
            [self.vocabulary.index(each)] if each else [] for each in (*ends, unknown)
        )

    def pieces(self, inputs: Any) -> tf.RaggedTensor:
        """Returns the ids of each text `[N, (L)]`, without its ends."""
        raise NotImplementedError

    def ragged(self, inputs: Any) -> tf.RaggedTensor:
        """Returns the ids of each text `[N, (L)]`, neither cut nor padded."""
        ids = self.pieces(inputs)
        before, behind = (
            [tf.fill([ids.nrows(), 1], number) for number in numbers]
            for numbers in (self._before, self._behind)
        )
        return tf.concat([*before, ids, *behind], axis=1) if before or behind else ids

    def call(self, inputs: Any) -> tf.Tensor:
        return self._cut(self.ragged(inputs)).to_tensor(0)

    def _cut(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        if not self._behind:
            return ids[:, : self.max_length]
        return tf.concat([ids[:, :-1][:, : self.max_length - 1], ids[:, -1:]], axis=1)

    def table(self, captions: Sequence[str], block: int = 65_536) -> TokenTable:
        """Tokenizes many captions, `block` of them at a time, for training and evaluation."""
        starts = range(0, max(1, len(captions)), block)
        ids = tf.concat([self.ragged(captions[start : start + block]) for start in starts], 0)
        lengths = ids.row_lengths().numpy()
        longest = int(lengths.clip(1, self.max_length).max(initial=1))
        table = self._cut(ids).to_tensor(0, shape=(None, longest)).numpy()
        ends = [*self._before, *self._behind]
        words = int((table > 0).sum()) - len(ends) * len(table)
        unknown = np.isin(table, [each for each in self._unknown if each not in ends])
        return TokenTable(
            table, int((lengths > self.max_length).sum()), float(unknown.sum() / max(1, words))
        )

    def knows(self, texts: Sequence[str]) -> np.ndarray:
        """Returns for each text whether any of its words is known: bool `[N]`."""
        nothing = [0, *self._unknown, *self._before, *self._behind, *self._space]
        return np.asarray(np.isin(self.table(texts).ids, nothing, invert=True).any(axis=1))

    def settings(self) -> dict[str, Any]:
        """Returns what beside the vocabulary makes the layer, as plain values."""
        return {"max_length": self.max_length}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary": self.vocabulary, **self.settings()}


@keras.saving.register_keras_serializable(package="mite_tf")
class WordPieceTokenizer(TextTokenizer):
    """Turns texts into WordPiece ids, padded with 0.

    Text is brought into one form (Unicode NFKD, case folded), so that a word typed in two ways has
    the same ids, and split at white space. Punctuation, symbols, and the characters of scripts that
    put no spaces between words, such as Han, kana and Thai, are words of their own, each with its
    marks; so is a flag, of two letters; words of more than 64 characters are cut. Then each word is
    cut into the longest pieces that the vocabulary holds; one with a character that it lacks is
    unknown. The layer runs in a graph, so a SavedModel that holds it takes plain strings.

    Args:
        vocabulary: List of strings; the first two must be `[PAD]` and `[UNK]`.
        max_length: Largest number of ids kept of a text; the rest is cut off.
        lower_case: Whether to fold case.
        strip_accents: Whether to drop marks too: é is e then, but also Vietnamese má is ma,
            Japanese ガ is カ, and Hindi, Hebrew, Arabic and Thai lose vowels.

    Call arguments:
        inputs: string tensor `[N]`, UTF-8.

    Returns:
        int32 tensor `[N, L]` with L at most `max_length`.

    Example:
        >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog", "run", "##s"])
        >>> tokenizer(tf.constant(["A dog runs", "dog"])).numpy().tolist()
        [[2, 3, 4, 5], [3, 0, 0, 0]]
    """

    kind = "wordpiece"
    first: tuple[str, ...] = (PADDING, UNKNOWN)
    longest_word = LONGEST_WORD
    normalize = staticmethod(normalize_in_graph)
    split = staticmethod(split_in_graph)

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int = 48,
        lower_case: bool = True,
        strip_accents: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_length, **kwargs)
        self.lower_case = lower_case
        self.strip_accents = strip_accents
        with tf.init_scope():
            self._wordpiece = tensorflow_text.FastWordpieceTokenizer(
                self.vocabulary,
                max_bytes_per_word=4 * self.longest_word,
                token_out_type=tf.int32,
                unknown_token=UNKNOWN,
                no_pretokenization=True,
            )

    def pieces(self, inputs: Any) -> tf.RaggedTensor:
        words = self.split(inputs, self.lower_case, self.strip_accents)
        return self._wordpiece.tokenize(words).merge_dims(-2, -1)

    def settings(self) -> dict[str, Any]:
        flags = {"lower_case": self.lower_case, "strip_accents": self.strip_accents}
        return {**super().settings(), **flags}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WordPieceTokenizer:
        """Makes a layer; one saved before there was `strip_accents` did so where it folded case."""
        return cls(**{"strip_accents": config.get("lower_case", True), **config})


def learn_vocabulary(
    captions: Sequence[str],
    *,
    size: int = 8000,
    minimum_count: int = 3,
    lower_case: bool = True,
    strip_accents: bool = False,
) -> list[str]:
    """Learns a WordPiece vocabulary, in order of ids; `[PAD]` is 0 and `[UNK]` is 1.

    Every character of the captions enters, so that none of their words is unknown.

    Args:
        captions: Those of the train split alone: words of other splits would leak into training.
        size: Largest number of entries, unless the characters alone are more. The learner aims at
            it within five per cent and stays below it when few words are frequent enough.
        minimum_count: A word or piece of several characters enters when it occurs at least this
            often.
        lower_case: As for `WordPieceTokenizer`.
        strip_accents: As for `WordPieceTokenizer`.

    Raises:
        MiteError: The captions hold no word at all.

    Example:
        >>> words = learn_vocabulary(["a red dog", "a dog runs"] * 5, size=60, minimum_count=2)
        >>> words[:2], "dog" in words
        (['[PAD]', '[UNK]'], True)
    """
    from tensorflow_text.tools.wordpiece_vocab.wordpiece_tokenizer_learner_lib import learn

    counts: Counter[bytes] = Counter()
    for start in range(0, len(captions), 1024):
        words = split_in_graph(captions[start : start + 1024], lower_case, strip_accents)
        counts.update(words.flat_values.numpy().tolist())
    if not counts:
        raise MiteError(
            f"No words to learn a vocabulary from: {len(captions)} captions were given and none "
            "holds a word. Check that the train split has captions."
        )
    return learn(
        [(word.decode(), count) for word, count in counts.items()],
        size,
        [PADDING, UNKNOWN],
        lower_thresh=minimum_count,
        max_input_tokens=-1,
        max_token_length=LONGEST_WORD,
        max_unique_chars=0x110000,
    )


def write_vocabulary(path: str | Path, vocabulary: Sequence[str]) -> None:
    """Writes a vocabulary, one entry a line, in order of ids."""
    Path(path).write_text("".join(f"{entry}\n" for entry in vocabulary), encoding="utf-8")


def read_vocabulary(path: str | Path, first: Sequence[str] = WordPieceTokenizer.first) -> list[str]:
    """Reads what `write_vocabulary` wrote, whose `first` entries are known.

    Raises:
        MiteError: If the file is no such vocabulary, or not all of one.
    """
    with reading(path, "a vocabulary", "Bring it back from a copy."):
        *entries, rest = Path(path).read_text(encoding="utf-8").split("\n")
        if entries[: len(first)] != list(first):
            raise ValueError(f"its first lines are not {' and '.join(first)}")
        if rest or "" in entries:
            raise ValueError("its last line is cut off, or one is empty")
        if len(set(entries)) < len(entries):
            raise ValueError("an entry stands in it twice")
    return entries
