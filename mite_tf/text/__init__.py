"""Texts to token ids: tokenisation inside the graph, and its vocabulary.

What a word is stands in `words`, which loads no TensorFlow; nor does importing this.

Example:
    >>> import mite_tf.text
    >>> "learn_vocabulary" in dir(mite_tf.text)
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mite_tf.extras import from_extra
from mite_tf.text.words import split_words

if TYPE_CHECKING:
    from mite_tf.text.bert_tokenizer import BertTokenizer
    from mite_tf.text.byte_pair_tokenizer import BytePairTokenizer
    from mite_tf.text.preset_tokenizer import load_text_tokenizer
    from mite_tf.text.sentence_piece_tokenizer import SentencePieceTokenizer
    from mite_tf.text.tokenizer import (
        PADDING,
        UNKNOWN,
        TextTokenizer,
        TokenTable,
        WordPieceTokenizer,
        learn_vocabulary,
        read_vocabulary,
        write_vocabulary,
    )

__all__ = [
    "PADDING",
    "UNKNOWN",
    "BertTokenizer",
    "BytePairTokenizer",
    "SentencePieceTokenizer",
    "TextTokenizer",
    "TokenTable",
    "WordPieceTokenizer",
    "learn_vocabulary",
    "load_text_tokenizer",
    "read_vocabulary",
    "split_words",
    "write_vocabulary",
]

_MODULES = {
    "BertTokenizer": "bert_tokenizer",
    "BytePairTokenizer": "byte_pair_tokenizer",
    "SentencePieceTokenizer": "sentence_piece_tokenizer",
    "load_text_tokenizer": "preset_tokenizer",
}

if not TYPE_CHECKING:  # a name that is not listed is an error for a type checker

    def __getattr__(name: str) -> Any:
        if name in __all__:
            with from_extra("tensorflow", f"mite_tf.text.{name}"):
                module = import_module(f"mite_tf.text.{_MODULES.get(name, 'tokenizer')}")
                return getattr(module, name)
        raise AttributeError(f"module 'mite_tf.text' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
