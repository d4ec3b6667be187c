"""The last layers of both encoders: pooled vector to unit-norm embedding."""

from __future__ import annotations

from typing import Any

import keras


def project(
    vector: Any, embedding_size: int, hidden_size: int, dropout: float, standardize: bool = False
) -> Any:
    """Adds a residual projection and unit normalisation to a functional model.

    A linear map plus a two-layer network of the same input, summed, as in VSE++ with the
    residual network of VSE-infinity (arXiv:2011.04305). The linear path trains at once; the
    network starts small beside it.

    Args:
        vector: Keras tensor `[N, C]`.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the network; 0 leaves the linear path alone.
        dropout: Share of inputs dropped, before the projection and inside the network.
        standardize: Whether each coordinate is standardised over the batch before the norm (in
            use: by running statistics). It removes what all embeddings of a modality share, on
            which encoders that start from scratch otherwise collapse.

    Returns:
        Keras tensor `[N, D]`, float32, rows of unit Euclidean norm.

    Example:
        >>> vector = keras.Input((1280,))
        >>> project(vector, embedding_size=256, hidden_size=0, dropout=0.2).shape
        (None, 256)
    """
    vector = keras.layers.Dropout(dropout, name="projection_dropout")(vector)
    embedding = keras.layers.Dense(embedding_size, name="projection")(vector)
    if hidden_size:
        hidden = keras.layers.Dense(hidden_size, activation="relu", name="residual_hidden")(vector)
        hidden = keras.layers.Dropout(dropout, name="residual_dropout")(hidden)
        residual = keras.layers.Dense(embedding_size, name="residual")(hidden)
        embedding = keras.layers.Add(name="residual_sum")([embedding, residual])
    if standardize:
        embedding = keras.layers.BatchNormalization(
            momentum=0.95, center=False, scale=False, name="standardize"
        )(embedding)
    # float32 whatever the policy: cosine similarities of nearby pairs differ in the last digits.
    return keras.layers.UnitNormalization(name="embedding", dtype="float32")(embedding)
