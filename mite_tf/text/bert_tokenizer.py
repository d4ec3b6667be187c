"""Texts to the ids of a pretrained BERT, inside the TensorFlow graph."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_text

from mite_tf.errors import MiteError
from mite_tf.extras import loading_preset
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
    ends = ("[CLS]", "[SEP]")
    longest_word = _LONGEST_WORD
    normalize = staticmethod(normalize_like_bert)
    split = staticmethod(split_like_bert)

    def __init__(self, vocabulary: Sequence[str], max_length: int = 48, **kwargs: Any) -> None:
        absent = [each for each in (PADDING, UNKNOWN, *self.ends) if each not in vocabulary]
        if absent or "" in vocabulary or len({*vocabulary}) < len(vocabulary):
            raise ValueError(
                "The vocabulary of a BERT holds each entry once and none that is empty, [PAD], "
                f"[UNK], [CLS] and [SEP] among them. Received: {len(vocabulary)} entries, without "
                f"{absent or 'none'}"
            )
        super().__init__(vocabulary, max_length, **kwargs)
        self._ends = [self.vocabulary.index(each) for each in self.ends]

    def ragged(self, inputs: Any) -> tf.RaggedTensor:
        ids = super().ragged(inputs)
        first, last = (tf.fill([ids.nrows(), 1], each) for each in self._ends)
        return tf.concat([first, ids, last], axis=1)

    def _cut(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        return tf.concat([ids[:, :-1][:, : self.max_length - 1], ids[:, -1:]], axis=1)


def load_bert_tokenizer(preset: str, max_length: int = 48, *, size: int = 0) -> BertTokenizer:
    """Loads the tokenizer of a pretrained text network by KerasHub.

    Accents are dropped as `tokenizer_config.json` in a folder says; else where case is folded, as
    BERT does.

    Args:
        preset: As for `mite_tf.models.load_text_backbone`.
        max_length: Largest number of ids of a text.
        size: Number of ids that the network knows, of which a vocabulary may leave the last unused.

    Raises:
        MiteError: If it cannot be loaded, or is not a WordPiece tokenizer.
    """
    with loading_preset(preset) as keras_hub:
        found = keras_hub.tokenizers.Tokenizer.from_preset(preset)
        settings = Path(preset) / "tokenizer_config.json"
        said = json.loads(settings.read_text("utf-8")) if settings.is_file() else {}
        of_wordpiece = isinstance(found, keras_hub.tokenizers.WordPieceTokenizer)
    if not of_wordpiece:
        raise MiteError(
            f"{preset}: its tokenizer is a {type(found).__name__}, which cannot be exported. Name "
            "a network with a WordPiece vocabulary: BERT, MiniLM, DistilBERT, ELECTRA and what was "
            "made of them, such as LaBSE and multilingual BERT for many languages."
        )
    entries = found.get_vocabulary()
    numbers = {entry: number for number, entry in enumerate(entries)}
    # No text is cut into space alone, nor into what stands once more further on.
    vocabulary = [
        entry if entry and numbers[entry] == number else f"[spare{number}]"
        for number, entry in enumerate(entries)
    ]
    vocabulary += [f"[spare{number}]" for number in range(len(vocabulary), size)]
    strip = said.get("strip_accents")
    try:
        return BertTokenizer(
            vocabulary,
            max_length,
            lower_case=found.lowercase,
            strip_accents=found.lowercase if strip is None else bool(strip),
        )
    except ValueError as error:
        raise MiteError(f"{preset}: {error}") from error
