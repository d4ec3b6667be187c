"""Texts to WordPiece ids, inside the TensorFlow graph, and the vocabulary for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_text

from mite_tf.errors import MiteError

PADDING = "[PAD]"
UNKNOWN = "[UNK]"

# Every character of the captions may enter the vocabulary: the default of the learner, 1,000,
# would cut Chinese or Japanese short.
_MAX_CHARACTERS = 100_000


class TokenTable(NamedTuple):
    """Token ids of many captions, and how many of the captions had to be cut."""

    ids: np.ndarray  # int32 [captions, longest], padded with 0 on the right
    truncated: int


@keras.saving.register_keras_serializable(package="mite_tf")
class WordPieceTokenizer(keras.layers.Layer):
    """Turns texts into WordPiece ids, padded with 0.

    Text is split at white space and punctuation, every CJK character by itself, and each word is
    cut into the longest pieces that the vocabulary holds. The layer runs in a graph, so a
    SavedModel that holds it takes plain strings.

    Args:
        vocabulary: List of strings; the first two must be `[PAD]` and `[UNK]`.
        max_length: Largest number of ids kept of a text; the rest is cut off.
        lower_case: Whether to fold case and strip accents (Unicode NFD).

    Call arguments:
        inputs: string tensor `[N]`, UTF-8.

    Returns:
        int32 tensor `[N, L]` with L at most `max_length`.

    Example:
        >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog", "run", "##s"])
        >>> tokenizer(tf.constant(["A dog runs", "dog"])).numpy().tolist()
        [[2, 3, 4, 5], [3, 0, 0, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int = 48,
        lower_case: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if list(vocabulary[:2]) != [PADDING, UNKNOWN]:
            raise ValueError(
                f"A vocabulary starts with {PADDING!r} and {UNKNOWN!r}. "
                f"Received: vocabulary[:2]={list(vocabulary[:2])}"
            )
        if max_length < 1:
            raise ValueError(f"`max_length` must be at least 1. Received: max_length={max_length}")
        self.vocabulary = list(vocabulary)
        self.max_length = max_length
        self.lower_case = lower_case
        with tf.init_scope():
            self._wordpiece = tensorflow_text.FastBertTokenizer(
                self.vocabulary,
                token_out_type=tf.int32,
                unknown_token=UNKNOWN,
                lower_case_nfd_strip_accents=lower_case,
            )

    def ragged(self, inputs: Any) -> tf.RaggedTensor:
        """Returns the ids of each text `[N, (L)]`, neither cut nor padded."""
        return self._wordpiece.tokenize(tf.convert_to_tensor(inputs, tf.string))

    def call(self, inputs: Any) -> tf.Tensor:
        return self.ragged(inputs)[:, : self.max_length].to_tensor(0)

    def table(self, captions: Sequence[str], block: int = 65_536) -> TokenTable:
        """Tokenizes many captions, `block` of them at a time, for training and evaluation."""
        starts = range(0, max(1, len(captions)), block)
        ids = tf.concat([self.ragged(captions[start : start + block]) for start in starts], 0)
        lengths = ids.row_lengths().numpy()
        longest = int(lengths.clip(1, self.max_length).max(initial=1))
        table = ids[:, : self.max_length].to_tensor(0, shape=(None, longest)).numpy()
        return TokenTable(table, int((lengths > self.max_length).sum()))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "max_length": self.max_length,
            "lower_case": self.lower_case,
        }


def learn_vocabulary(
    captions: Sequence[str],
    *,
    size: int = 8000,
    minimum_count: int = 3,
    lower_case: bool = True,
) -> list[str]:
    """Learns a WordPiece vocabulary, in order of ids; `[PAD]` is 0 and `[UNK]` is 1.

    Args:
        captions: Those of the train split alone: words of other splits would leak into training.
        size: Largest number of entries. The learner aims at it within five per cent and stays
            below it when few words are frequent enough.
        minimum_count: A word or piece enters when it occurs at least this often.
        lower_case: As for `WordPieceTokenizer`.

    Raises:
        MiteError: The captions hold no word at all.

    Example:
        >>> words = learn_vocabulary(["a red dog", "a dog runs"] * 5, size=60, minimum_count=2)
        >>> words[:2], "dog" in words
        (['[PAD]', '[UNK]'], True)
    """
    from tensorflow_text.tools.wordpiece_vocab.bert_vocab_from_dataset import (
        bert_vocab_from_dataset,
    )

    if not any(caption.strip() for caption in captions):
        raise MiteError(
            f"No words to learn a vocabulary from: {len(captions)} captions were given and none "
            "holds a word. Check that the train split has captions."
        )
    return bert_vocab_from_dataset(
        tf.data.Dataset.from_tensor_slices(list(captions)).batch(1024),
        size,
        [PADDING, UNKNOWN],
        bert_tokenizer_params={"lower_case": lower_case},
        learn_params={"lower_thresh": minimum_count, "max_unique_chars": _MAX_CHARACTERS},
    )


def write_vocabulary(path: str | Path, vocabulary: Sequence[str]) -> None:
    """Writes a vocabulary, one entry a line, in order of ids."""
    Path(path).write_text("".join(f"{entry}\n" for entry in vocabulary), encoding="utf-8")


def read_vocabulary(path: str | Path) -> list[str]:
    """Reads what `write_vocabulary` wrote."""
    return Path(path).read_text(encoding="utf-8").split("\n")[:-1]
