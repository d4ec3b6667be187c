"""Texts to the ids of a SentencePiece vocabulary, inside the TensorFlow graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_text

from mite_tf.extras import from_extra
from mite_tf.text.tokenizer import TextTokenizer
from mite_tf.text.words import character_class, one_of

SPACE = "▁"
# What SentencePiece and `tokenizers` take off the lowest score for an unknown character.
_UNKNOWN = 10
# Longer words are cut. So many scores add up exactly, see `exact`.
LONGEST = 128

Rules = Sequence[Sequence[str]]


def exact(scores: Sequence[float]) -> list[float]:
    """Rounds scores to steps of which a word's sum is exact in single and in double precision.

    TensorFlow adds scores in single precision and `tokenizers` in double. Two ways to cut "...."
    have the same pieces in another order, and any rounding would prefer one of them.

    Example:
        >>> exact([-1.0001, -13.7])
        [-1.0, -13.699951171875]
    """
    largest = LONGEST * (_UNKNOWN - min(scores, default=0.0))
    step = 2.0 ** (math.ceil(math.log2(largest)) - 24)
    return [round(score / step) * step for score in scores]


@keras.saving.register_keras_serializable(package="mite_tf")
class SentencePieceTokenizer(TextTokenizer):
    """Turns texts into the ids of a SentencePiece vocabulary (a unigram model), padded with 0.

    Ids are those of the network plus 1, so that padding is none of its tokens. Characters are
    mapped by rules, and white space in a row counts once. Each word is then cut into the pieces
    whose scores have the greatest sum. Entries without a score, such as `</s>`, cannot be typed:
    they count as a space. A word of more than 128 characters is cut.

    Args:
        vocabulary: `[PAD]`, then the entries of the network by their ids.
        scores: Log-probability of each entry; None for one that no text is cut into.
        max_length: Largest number of ids of a text, both ends included.
        ends: The entries that stand before and behind every text; empty for none.
        unknown: The entry for characters that no piece has.
        form: Unicode normal form of texts: `NFKC`, `NFC` or empty for none.
        before: Pairs of characters and the text that each of them becomes before that form.
        after: Such pairs for after it.
        symbols: Pieces that always stand alone.
        prefix: Whether the first word begins with a space, as the others do.

    Call arguments and result are those of `TextTokenizer`.

    Raises:
        ValueError: If these do not fit together.

    Example:
        >>> pieces = ["[PAD]", "<unk>", "</s>", "▁a", "▁dog", "s"]
        >>> scores = [None, None, None, -1.0, -2.0, -3.0]
        >>> tokenizer = SentencePieceTokenizer(pieces, scores, ends=("", "</s>"))
        >>> tokenizer(tf.constant(["a  dogs", "a zebra </s>"])).numpy().tolist()
        [[3, 4, 5, 2], [3, 1, 2, 0]]
    """

    kind = "sentencepiece"

    def __init__(
        self,
        vocabulary: Sequence[str],
        scores: Sequence[float | None],
        max_length: int = 48,
        *,
        ends: Sequence[str] = ("", ""),
        unknown: str = "<unk>",
        form: str = "NFKC",
        before: Rules = (),
        after: Rules = (),
        symbols: Sequence[str] = (),
        prefix: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_length, ends, unknown, **kwargs)
        unscored = {entry for entry, score in zip(vocabulary, scores, strict=True) if score is None}
        if not {vocabulary[0], unknown, *filter(None, ends)} <= unscored:
            raise ValueError("Padding, the unknown piece and both ends of a text have no score.")
        if form not in ("", "NFC", "NFKC"):
            raise ValueError(f"`form` is NFKC, NFC or empty. Received: form={form!r}")
        self.scores = list(scores)
        self.form = form
        self.before, self.after = ([list(rule) for rule in rules] for rules in (before, after))
        self.symbols = list(symbols)
        self.prefix = prefix
        self.reserved = one_of(unscored)
        self._space = [number for number, each in enumerate(self.vocabulary) if each == SPACE]
        model = _model(self.vocabulary, self.scores, unknown)
        with tf.init_scope():
            self._pieces = tensorflow_text.FastSentencepieceTokenizer(model)

    def split(self, inputs: Any) -> tf.RaggedTensor:
        """Returns the words of texts `[N, (W)]`, in which `▁` stands for a space."""
        replace = tf.strings.regex_replace
        texts = tf.strings.unicode_transcode(
            tf.convert_to_tensor(inputs, tf.string), "UTF-8", "UTF-8"
        )
        texts = _mapped(texts, self.before)
        if self.form:
            texts = tensorflow_text.normalize_utf8(texts, self.form)
        texts = replace(_mapped(texts, self.after), self.reserved, " ")
        texts = replace(replace(texts, " +", " "), "^ | $", "")
        texts = replace(texts, " ", f" {SPACE}")
        if self.prefix:
            texts = replace(texts, "(?s)^(.)", rf"{SPACE}\1")
        if self.symbols:
            texts = replace(texts, one_of(self.symbols), r" \0 ")
        return tf.strings.split(replace(texts, f"[^ ]{{{LONGEST}}}", r"\0 "), sep=" ")

    def pieces(self, inputs: Any) -> tf.RaggedTensor:
        words = self.split(inputs)
        ids = self._pieces.tokenize(words.flat_values).with_row_splits_dtype(tf.int64)
        return words.with_flat_values(ids).merge_dims(-2, -1)

    def settings(self) -> dict[str, Any]:
        names = ("scores", "ends", "unknown", "form", "before", "after", "symbols", "prefix")
        return {**super().settings(), **{name: getattr(self, name) for name in names}}


def _mapped(texts: tf.Tensor, rules: Rules) -> tf.Tensor:
    for characters, text in rules:
        rewrite = text.replace("\\", r"\\")
        texts = tf.strings.regex_replace(texts, character_class(characters), rewrite)
    return texts


def _model(vocabulary: Sequence[str], scores: Sequence[float | None], unknown: str) -> bytes:
    """Returns the model that cuts one word, in SentencePiece's own format."""
    with from_extra("hub", "A SentencePiece tokenizer"):
        from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2  # whose classes are made when it is imported
    model = proto.ModelProto()
    kinds = model.SentencePiece
    for entry, score in zip(vocabulary, scores, strict=True):
        reserved = kinds.UNKNOWN if entry == unknown else kinds.CONTROL
        kind = reserved if score is None else kinds.NORMAL
        model.pieces.add(piece=entry, score=score or 0.0, type=kind)
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    model.trainer_spec.unk_id = vocabulary.index(unknown)
    as_it_is = model.normalizer_spec
    as_it_is.name = "identity"
    as_it_is.add_dummy_prefix = False
    as_it_is.remove_extra_whitespaces = as_it_is.escape_whitespaces = False
    return bytes(model.SerializeToString())
