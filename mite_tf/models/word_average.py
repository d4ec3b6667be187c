"""Word vectors of a sentence, and one of them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mite_tf.models.pooling import pooling_layer


@keras.saving.register_keras_serializable(package="mite_tf")
class WordAverage(keras.layers.Embedding):
    """Averages the vectors of the words of a sentence.

    It does what `Embedding`, dropout of whole words and `AveragePooling` do one after the other.
    These write a vector for each place of the longest sentence, several times. Here a sentence is a
    sparse row with an entry for each of its words, so that the averages and their gradient are
    products of sparse and dense matrices, which takes less than a third of the time.

    Args:
        input_dim: Number of token ids; 0 is padding, which counts for nothing.
        output_dim: Size C of a word vector.
        word_dropout: Share of words left out in training.
        **kwargs: Those of `keras.layers.Embedding`.

    Call arguments:
        inputs: Token ids, int32 `[N, L]`.
        training: Whether words are left out.

    Returns:
        float tensor `[N, C]`; a sentence without words has zeros.

    Attributes:
        is_packed: Whether it takes the fast way, which neither XLA nor ONNX knows, so that it is
            off until a `MITE` is compiled; see `set_packed` and `packing`.

    Example:
        >>> layer = WordAverage(9, 4)
        >>> layer(ops.array([[5, 8, 0], [5, 0, 0]])).shape
        TensorShape([2, 4])
    """

    is_packed = False

    def __init__(
        self, input_dim: int, output_dim: int, *, word_dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.word_dropout = word_dropout
        self.supports_masking = False
        self.seed_generator = keras.random.SeedGenerator() if word_dropout else None

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        words = ops.cast(ops.not_equal(inputs, 0), self.compute_dtype)
        shares = words / ops.maximum(ops.sum(words, axis=1, keepdims=True), 1)
        if training and self.word_dropout:
            shares = keras.random.dropout(shares, self.word_dropout, seed=self.seed_generator)
        if self.is_packed and self.compute_dtype == "float32":
            return self._product(inputs, shares)
        vectors = ops.take(self.embeddings, inputs, axis=0)
        return ops.einsum("nlc,nl->nc", vectors, shares)

    def _product(self, inputs: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        places = tf.where(shares > 0)
        words = tf.cast(tf.gather_nd(inputs, places), tf.int64)
        sentences = tf.SparseTensor(
            tf.stack([places[:, 0], words], axis=1),
            tf.gather_nd(shares, places),
            (tf.shape(inputs, out_type=tf.int64)[0], self.input_dim),
        )
        averages = tf.sparse.sparse_dense_matmul(sentences, tf.convert_to_tensor(self.embeddings))
        return tf.ensure_shape(averages, (inputs.shape[0], self.output_dim))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.output_dim)

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "word_dropout": self.word_dropout}


def pooled_words(
    token_ids: Any, vocabulary_size: int, word_size: int, pooling: str, word_dropout: float
) -> Any:
    """Adds word vectors, dropout of whole words and their pooling to a functional model.

    Args:
        token_ids: Keras tensor `[N, L]`, int32, padded with 0.
        vocabulary_size: Number of token ids.
        word_size: Size C of a word vector.
        pooling: `average`, `max` or `generalized`.
        word_dropout: Share of words left out in training.

    Returns:
        Keras tensor `[N, C]`.

    Example:
        >>> pooled_words(keras.Input((None,), dtype="int32"), 9, 4, "max", 0.1).shape
        (None, 4)
    """
    if pooling == "average":
        average = WordAverage(vocabulary_size, word_size, word_dropout=word_dropout, name="words")
        return average(token_ids)
    words, mask = embedded_words(token_ids, vocabulary_size, word_size, word_dropout)
    return pooling_layer(pooling, name="pooling")(words, mask=mask)


def embedded_words(
    token_ids: Any, vocabulary_size: int, word_size: int, word_dropout: float
) -> tuple[Any, Any]:
    """Adds word vectors `[N, L, C]` to a functional model; returns the mask `[N, L]` too.

    Example:
        >>> words, mask = embedded_words(keras.Input((None,), dtype="int32"), 9, 4, 0.1)
        >>> words.shape, mask.shape
        ((None, None, 4), (None, None))
    """
    words = keras.layers.Embedding(vocabulary_size, word_size, name="words")(token_ids)
    # One decision for all coordinates of a word.
    words = keras.layers.Dropout(word_dropout, noise_shape=(None, None, 1), name="word_dropout")(
        words
    )
    return words, ops.not_equal(token_ids, 0)


def set_packed(model: keras.Model, is_packed: bool) -> None:
    """Sets `is_packed` of every `PackedGRU` and `WordAverage` in a model.

    Example:
        >>> model = keras.Sequential([WordAverage(9, 4)])
        >>> set_packed(model, True)
        >>> model.layers[0].is_packed
        True
    """
    for layer in model._flatten_layers():
        if hasattr(layer, "is_packed"):
            layer.is_packed = is_packed


@contextmanager
def packing(model: keras.Model, is_packed: bool) -> Iterator[None]:
    """Sets `is_packed` as `set_packed` does, while the block runs.

    Example:
        >>> model = keras.Sequential([WordAverage(9, 4)])
        >>> with packing(model, True):
        ...     print(model.layers[0].is_packed)
        True
        >>> model.layers[0].is_packed
        False
    """
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "is_packed")]
    before = [layer.is_packed for layer in layers]
    set_packed(model, is_packed)
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.is_packed = was
