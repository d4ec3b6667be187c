"""Learning a WordPiece vocabulary from training captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.text.tokenizer import PADDING, UNKNOWN

# Every character of the captions may enter the vocabulary: the default of the learner, 1,000,
# would cut Chinese or Japanese short.
_MAX_CHARACTERS = 100_000


def learn_vocabulary(
    captions: Sequence[str],
    *,
    size: int = 8000,
    minimum_count: int = 3,
    lower_case: bool = True,
) -> list[str]:
    """Learns a WordPiece vocabulary from captions of the train split.

    Args:
        captions: Those of the train split alone: words of other splits would leak into
            training.
        size: Largest number of entries, the two reserved ones included. The learner aims at it
            within five per cent and stays below it when few words are frequent enough.
        minimum_count: A word or piece enters when it occurs at least this often.
        lower_case: Whether to fold case and strip accents (Unicode NFD) before counting.

    Returns:
        The entries in order of their ids; `[PAD]` is 0 and `[UNK]` is 1.

    Raises:
        MiteError: If the captions hold no word at all.

    Example:
        >>> words = learn_vocabulary(["a red dog", "a dog runs"] * 5, size=60, minimum_count=2)
        >>> words[:2], "dog" in words
        (['[PAD]', '[UNK]'], True)
    """
    import tensorflow as tf
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
