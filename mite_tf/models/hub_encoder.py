"""A text encoder on a pretrained backbone: features, and one's own words, to an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from mite_tf.models.projection import project
from mite_tf.models.text_backbone import TextBackbone
from mite_tf.models.word_average import pooled_words


@keras.saving.register_keras_serializable(package="mite_tf")
class TextEncoder(keras.Model):
    """Functional model of a pretrained text backbone and a head.

    Args:
        backbone: Model from token ids to features `[N, C]`, of any name.
        head: Model from features, or from features and token ids, to embeddings `[N, D]`, see
            `text_head`.
        name: Name of the model.

    Example:
        >>> ids = keras.Input((None,), dtype="int32")
        >>> vectors = keras.layers.Embedding(30, 8)(ids)
        >>> backbone = keras.Model(ids, keras.layers.GlobalAveragePooling1D()(vectors))
        >>> encoder = TextEncoder(backbone, text_head(8, words=[5, 9], vocabulary_size=30))
        >>> token_ids = ops.convert_to_tensor([[2, 9, 3, 0]])
        >>> cached = encoder.embed(token_ids, backbone(token_ids))
        >>> bool(ops.all(cached == encoder(token_ids)))
        True
    """

    def __init__(
        self,
        backbone: keras.Model,
        head: keras.Model,
        *,
        name: str = "text_encoder",
        **kwargs: Any,
    ) -> None:
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        features = backbone(token_ids)
        embedding = head([features, token_ids] if len(head.inputs) > 1 else features)
        super().__init__(token_ids, embedding, name=name, **kwargs)
        self.backbone = backbone
        self.head = head

    def features(self, token_ids: Any, *, groups: int = 1) -> Any:
        """Returns the features `[N, C]` of token ids `[N, L]`, padded with 0.

        In several `groups` of like length the backbone finds the same with less padding, which is
        more than half of a batch of captions. Compiled by XLA, lengths are fixed: 1 then.
        """
        if groups == 1:
            return self.backbone(token_ids)
        count = tf.shape(token_ids)[0]
        repeated = tf.range(tf.maximum(count, groups)) % count  # so that no group is empty
        token_ids = tf.gather(token_ids, repeated)
        lengths = tf.math.count_nonzero(token_ids, axis=1, dtype=tf.int32)
        order = tf.argsort(lengths)
        bounds = [tf.size(order) * part // groups for part in range(groups + 1)]
        features = []
        for rows in (order[start:end] for start, end in pairwise(bounds)):
            longest = tf.maximum(tf.reduce_max(tf.gather(lengths, rows)), 1)
            features.append(self.backbone(tf.gather(token_ids, rows)[:, :longest]))
        return tf.gather(tf.concat(features, axis=0), tf.argsort(order)[:count])

    def embed(self, token_ids: Any, features: Any, training: bool | None = None) -> Any:
        """Returns the embeddings of texts whose features `[N, C]` are known."""
        features, token_ids = ops.convert_to_tensor(features), ops.convert_to_tensor(token_ids)
        known = [features, token_ids] if len(self.head.inputs) > 1 else features
        return self.head(known, training=training)

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextEncoder:
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def text_head(
    feature_size: int,
    *,
    words: Sequence[int] = (),
    vocabulary_size: int = 0,
    word_size: int = 512,
    embedding_size: int = 512,
    hidden_size: int = 512,
    pooling: str = "average",
    dropout: float = 0.2,
    bag_dropout: float = 0.5,
    word_dropout: float = 0.0,
    standardize: bool = False,
    start: str = "random",
    name: str = "head",
) -> keras.Model:
    """Builds the head of a pretrained text encoder: a residual projection and unit norm.

    Args:
        feature_size: Size C of the features.
        words: Token ids of which a bag of words is projected too and added before the norm: it
            learns from one's own captions what the features lack. None by default.
        vocabulary_size: Number of all token ids, where there are words.
        word_size: Size of a word vector.
        embedding_size: Size D of the embedding.
        hidden_size: Width of both residual networks; 0 for linear projections.
        pooling: How word vectors become one: `average`, `max` or `generalized`.
        dropout: Share of the features dropped in training.
        bag_dropout: Share of the coordinates of the bag of words dropped.
        word_dropout: Share of whole words left out of the bag.
        standardize: Whether to standardise the embeddings over the batch, see `project`.
        start: `random`, or `identity` to begin as the features, without the words, see `project`.
        name: Name of the model.

    Returns:
        Functional model from features `[N, C]`, or from them and token ids `[N, L]`, to embeddings
        `[N, D]`.

    Example:
        >>> text_head(384, words=[7, 9], vocabulary_size=100).output_shape
        (None, 512)
    """
    features = keras.Input((feature_size,), name="features")
    inputs, vectors, shares = [features], [features], [dropout]
    if len(words):
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        rows = KnownWords(words, vocabulary_size, name="known_words")(token_ids)
        bag = pooled_words(rows, len(words) + 1, word_size, pooling, word_dropout)
        inputs, vectors = [features, token_ids], [features, bag]
        shares = [dropout, bag_dropout]
    embedding = project(vectors, embedding_size, hidden_size, shares, standardize, start)
    return keras.Model(inputs if len(inputs) > 1 else features, embedding, name=name)


def hub_encoder(
    backbone: TextBackbone,
    words: Sequence[int] = (),
    *,
    bag_of_words: bool = False,
    word_size: int = 512,
    embedding_size: int = 512,
    hidden_size: int = 512,
    pooling: str = "average",
    dropout: float = 0.2,
    bag_dropout: float = 0.5,
    word_dropout: float = 0.0,
    standardize: bool = False,
    start: str = "random",
    name: str = "text_encoder",
) -> TextEncoder:
    """Builds a text encoder on a pretrained backbone.

    Args:
        backbone: The backbone, see `load_text_backbone`.
        words: Token ids that one's own captions have.
        bag_of_words: Whether a bag of these words is added, see `text_head`.
        word_size: As for `text_head`; so are all that follow.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the residual networks.
        pooling: How word vectors become one.
        dropout: Share of the features dropped in training.
        bag_dropout: Share of the coordinates of the bag of words dropped.
        word_dropout: Share of whole words left out of the bag.
        standardize: Whether to standardise the embeddings over the batch.
        start: `random`, or `identity` to begin as the features.
        name: Name of the model.

    Example:
        >>> ids, mask = (keras.Input((None,), dtype="int32", name=name)
        ...              for name in ("token_ids", "padding_mask"))
        >>> vectors = keras.layers.Embedding(30, 8)(ids)
        >>> network = keras.Model({"token_ids": ids, "padding_mask": mask}, vectors)
        >>> encoder = hub_encoder(TextBackbone(network), words=[5, 9], bag_of_words=True)
        >>> encoder.output_shape, encoder.backbone.vocabulary_size
        ((None, 512), 30)
    """
    head = text_head(
        backbone.output_shape[-1],
        words=words if bag_of_words else (),
        vocabulary_size=backbone.vocabulary_size,
        word_size=word_size,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        pooling=pooling,
        dropout=dropout,
        bag_dropout=bag_dropout,
        word_dropout=word_dropout,
        standardize=standardize,
        start=start,
    )
    return TextEncoder(backbone, head, name=name)


@keras.saving.register_keras_serializable(package="mite_tf")
class KnownWords(keras.layers.Layer):
    """Numbers some of the token ids from 1 on, and gives 0 for all others.

    Args:
        words: The token ids.
        vocabulary_size: Number of all token ids.

    Example:
        >>> KnownWords([7, 5], vocabulary_size=10)(ops.convert_to_tensor([[5, 6, 7]])).numpy()
        array([[2, 0, 1]], dtype=int32)
    """

    def __init__(self, words: Sequence[int], vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = [int(word) for word in words]
        self.vocabulary_size = vocabulary_size
        self._numbers = np.zeros(vocabulary_size, np.int32)
        self._numbers[self.words] = 1 + np.arange(len(self.words))

    def call(self, inputs: Any) -> Any:
        return ops.take(ops.convert_to_tensor(self._numbers), inputs, axis=0)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        own = {"words": self.words, "vocabulary_size": self.vocabulary_size}
        return {**super().get_config(), **own}
