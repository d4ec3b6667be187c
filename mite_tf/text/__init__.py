"""Texts to token ids: tokenisation inside the graph, and its vocabulary."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.text"):
    from mite_tf.text.tokenizer import (
        PADDING,
        UNKNOWN,
        TokenTable,
        WordPieceTokenizer,
        learn_vocabulary,
        read_vocabulary,
        write_vocabulary,
    )

__all__ = [
    "PADDING",
    "UNKNOWN",
    "TokenTable",
    "WordPieceTokenizer",
    "learn_vocabulary",
    "read_vocabulary",
    "write_vocabulary",
]
