"""Texts to the ids of a pretrained BERT, inside the TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_text

from mite_tf.text.tokenizer import PADDING, UNKNOWN, WordPieceTokenizer

# The rules of BERT's own tokenizer (google-research/bert, tokenization.py), in the syntax of RE2.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\p{Cf}\x{E000}-\x{F8FF}\x{FFFD}]"
_SPACES = r"[\t\n\r\p{Z}]+"
_HAN = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
_ALONE = rf"[!-/:-@\[-`{{-~\p{{P}}{_HAN}]"
_LONGEST_WORD = 100
_TOO_LONG = rf"[^ ]{{{_LONGEST_WORD + 1},}}"


def split_like_bert(texts: Any, lower_case: bool, strip_accents: bool) -> tf.RaggedTensor:
    """Splits texts `[N]` into words `[N, (W)]`, inside the graph."""
    replace = tf.strings.regex_replace
    texts = replace(normalize_like_bert(texts, lower_case, strip_accents), _SPACES, " ")
    return tf.strings.split(replace(replace(texts, _ALONE, r" \0 "), _TOO_LONG, UNKNOWN))


def normalize_like_bert(texts: Any, lower_case: bool, strip_accents: bool) -> tf.Tensor:
    """Brings texts into the form that BERT was trained on, inside the graph."""
    replace = tf.strings.regex_replace
    texts = tf.strings.unicode_transcode(tf.convert_to_tensor(texts, tf.string), "UTF-8", "UTF-8")
    texts = replace(texts, _CONTROL, "")
    if strip_accents:
        texts = replace(tensorflow_text.normalize_utf8(texts, "NFD"), r"\p{Mn}", "")
    if lower_case:  # a capital sigma would become another letter at the end of a word
        texts = tf.strings.lower(replace(texts, "Σ", "σ"), encoding="utf-8")
    return texts


@keras.saving.register_keras_serializable(package="mite_tf")
class BertTokenizer(WordPieceTokenizer):
    """Turns texts into the WordPiece ids of BERT and what was made like it, padded with 0.

    The rules are those that these networks were trained with: control characters are dropped,
    punctuation and Han characters stand alone, a word of more than 100 characters is unknown, and
    each text is between `[CLS]` and `[SEP]`, which stay where it is cut. (KerasHub's own tokenizer
    keeps accents and puts spaces for control characters, so that ids differ.)

    Args:
        vocabulary: That of the network; `[PAD]` is its first entry.
        max_length: Largest number of ids of a text, both ends included.
        lower_case: Whether the network knows small letters alone.
        strip_accents: Whether it knows no accents.

    Call arguments and result are those of `WordPieceTokenizer`.

    Raises:
        ValueError: If the vocabulary is not that of a BERT.

    Example:
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cafe", "##s", "."]
        >>> tokenizer = BertTokenizer(words, strip_accents=True)
        >>> tokenizer(tf.constant(["Cafés.", "a zebra"])).numpy().tolist()
        [[2, 5, 6, 7, 3], [2, 4, 1, 3, 0]]
    """

    kind = "bert"
    first = (PADDING,)
    longest_word = _LONGEST_WORD
    normalize = staticmethod(normalize_like_bert)
    split = staticmethod(split_like_bert)

    def __init__(self, vocabulary: Sequence[str], max_length: int = 48, **kwargs: Any) -> None:
        ends = ("[CLS]", "[SEP]")
        absent = [each for each in (PADDING, UNKNOWN, *ends) if each not in vocabulary]
        if absent or "" in vocabulary or len({*vocabulary}) < len(vocabulary):
            raise ValueError(
                "The vocabulary of a BERT holds each entry once and none that is empty, [PAD], "
                f"[UNK], [CLS] and [SEP] among them. Received: {len(vocabulary)} entries, without "
                f"{absent or 'none'}"
            )
        super().__init__(vocabulary, max_length, ends=ends, **kwargs)
