"""Token ids to a sentence embedding: bag of words, recurrent, Transformer or pretrained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from mite_tf.models.hub_encoder import hub_encoder
from mite_tf.models.packed_gru import PackedGRU
from mite_tf.models.pooling import pooling_layer
from mite_tf.models.projection import project
from mite_tf.models.word_average import embedded_words, pooled_words


def bag_of_words_encoder(
    vocabulary_size: int,
    *,
    word_size: int = 512,
    embedding_size: int = 512,
    hidden_size: int = 512,
    pooling: str = "average",
    dropout: float = 0.2,
    word_dropout: float = 0.0,
    standardize: bool = False,
    name: str = "text_encoder",
) -> keras.Model:
    """Builds the fast encoder: pooled word vectors and a residual projection.

    Args:
        vocabulary_size: Number of token ids; 0 is padding.
        word_size: Size of a word vector.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the residual network; 0 for a linear projection.
        pooling: How word vectors become one: `average`, `max` or `generalized`.
        dropout: Share of coordinates dropped in training.
        word_dropout: Share of whole words left out in training; the meaning mostly survives.
        standardize: Whether to standardise the embeddings over the batch, see `project`.
        name: Name of the model.

    Returns:
        Functional model from `token_ids` int32 `[N, L]`, padded with 0, to float32 `[N, D]`.
        Padding never changes an embedding.

    Example:
        >>> encoder = bag_of_words_encoder(1000, embedding_size=64)
        >>> encoder(keras.ops.convert_to_tensor([[5, 8, 0]])).shape
        TensorShape([1, 64])
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    pooled = pooled_words(token_ids, vocabulary_size, word_size, pooling, word_dropout)
    embedding = project(pooled, embedding_size, hidden_size, dropout, standardize)
    return keras.Model(token_ids, embedding, name=name)


def recurrent_encoder(
    vocabulary_size: int,
    *,
    word_size: int = 300,
    embedding_size: int = 512,
    hidden_size: int = 0,
    pooling: str = "generalized",
    dropout: float = 0.2,
    word_dropout: float = 0.0,
    standardize: bool = False,
    name: str = "text_encoder",
) -> keras.Model:
    """Builds the recurrent encoder: a bidirectional GRU, its directions averaged, then pooled.

    As in VSE-infinity (arXiv:2011.04305): word vectors of 300, a GRU as wide as the embedding.
    Arguments and result are those of `bag_of_words_encoder`.

    Example:
        >>> encoder = recurrent_encoder(1000, embedding_size=64)
        >>> encoder(keras.ops.convert_to_tensor([[5, 8, 0]])).shape
        TensorShape([1, 64])
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    words, mask = embedded_words(token_ids, vocabulary_size, word_size, word_dropout)
    words = keras.layers.Dropout(dropout, name="word_vector_dropout")(words)
    states = keras.layers.Bidirectional(
        PackedGRU(embedding_size, return_sequences=True, name="gru"), merge_mode="ave", name="gru"
    )(words, mask=mask)
    pooled = pooling_layer(pooling, name="pooling")(states, mask=mask)
    embedding = project(pooled, embedding_size, hidden_size, dropout, standardize)
    return keras.Model(token_ids, embedding, name=name)


def transformer_encoder(
    vocabulary_size: int,
    *,
    word_size: int = 256,
    embedding_size: int = 512,
    hidden_size: int = 0,
    pooling: str = "average",
    dropout: float = 0.1,
    word_dropout: float = 0.0,
    layers: int = 2,
    heads: int = 4,
    max_length: int = 48,
    standardize: bool = False,
    name: str = "text_encoder",
) -> keras.Model:
    """Builds a small pre-norm Transformer, pooled over its words.

    It is a stack of `layers` blocks, `word_size` wide, with `heads` attention heads each, for
    captions of up to `max_length` tokens (that of the tokenizer). `dropout` is in the blocks too.
    The result and all other arguments are those of `bag_of_words_encoder`.

    Raises:
        ValueError: If `word_size` is not a multiple of `heads`.

    Example:
        >>> encoder = transformer_encoder(1000, word_size=64, embedding_size=32)
        >>> encoder(keras.ops.convert_to_tensor([[5, 8, 0]])).shape
        TensorShape([1, 32])
    """
    if word_size % heads:
        raise ValueError(
            "`word_size` must be a multiple of `heads`. "
            f"Received: word_size={word_size}, heads={heads}"
        )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    words, mask = embedded_words(token_ids, vocabulary_size, word_size, word_dropout)
    x = PositionEmbedding(max_length, name="position")(words)
    for number in range(layers):
        x = _transformer_block(x, mask, heads=heads, dropout=dropout, name=f"block_{number}")
    x = keras.layers.LayerNormalization(name="last_norm")(x)
    pooled = pooling_layer(pooling, name="pooling")(x, mask=mask)
    embedding = project(pooled, embedding_size, hidden_size, dropout, standardize)
    return keras.Model(token_ids, embedding, name=name)


def _transformer_block(x: Any, mask: Any, *, heads: int, dropout: float, name: str) -> Any:
    width = x.shape[-1]
    y = keras.layers.LayerNormalization(name=f"{name}_attention_norm")(x)
    y = keras.layers.MultiHeadAttention(
        heads, width // heads, dropout=dropout, name=f"{name}_attention"
    )(y, y, attention_mask=ops.expand_dims(mask, 1))
    x = keras.layers.Add(name=f"{name}_attention_sum")([x, y])
    y = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
    y = keras.layers.Dense(4 * width, activation="relu", name=f"{name}_wide")(y)
    y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = keras.layers.Dense(width, name=f"{name}_narrow")(y)
    return keras.layers.Add(name=f"{name}_sum")([x, y])


@keras.saving.register_keras_serializable(package="mite_tf")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each position.

    Args:
        max_length: Number of positions; a longer input `[N, L, C]` is an error.

    Example:
        >>> PositionEmbedding(max_length=48)(ops.zeros((2, 7, 16))).shape
        TensorShape([2, 7, 16])
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.positions = self.add_weight(
            shape=(self.max_length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="positions",
        )

    def call(self, inputs: Any) -> Any:
        return inputs + self.positions[: ops.shape(inputs)[1]]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self.max_length}


TEXT_ENCODERS: dict[str, Callable[..., keras.Model]] = {
    "bag-of-words": bag_of_words_encoder,
    "recurrent": recurrent_encoder,
    "transformer": transformer_encoder,
    "hub": hub_encoder,  # of a backbone in place of a vocabulary
}
