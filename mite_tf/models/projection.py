"""The last layers of both encoders: pooled vector to unit-norm embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def project(
    vectors: Any,
    embedding_size: int,
    hidden_size: int,
    dropout: float | Sequence[float],
    standardize: bool = False,
    start: str = "random",
) -> Any:
    """Adds a residual projection and unit normalisation to a functional model.

    A linear map plus a two-layer network of the same input, summed, as in VSE++ with the
    residual network of VSE-infinity (arXiv:2011.04305). The linear path trains at once; the
    network starts small beside it.

    Args:
        vectors: Keras tensor `[N, C]`, or a list of such; each of these is projected by itself,
            and the projections are added before the norm.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the network; 0 leaves the linear path alone.
        dropout: Share of inputs dropped, before the projection and inside the network; or one for
            each vector.
        standardize: Whether each coordinate is standardised over the batch before the norm (in
            use: by running statistics). It removes what all embeddings of a modality share, on
            which encoders that start from scratch otherwise collapse.
        start: `random`, or `identity`: the embedding is at first the first vector alone, scaled to
            unit norm, from which the rest learns to depart.

    Returns:
        Keras tensor `[N, D]`, float32, rows of unit Euclidean norm.

    Raises:
        ValueError: If it is to start as a vector of another size.

    Example:
        >>> vector = keras.Input((1280,))
        >>> project(vector, embedding_size=256, hidden_size=0, dropout=0.2).shape
        (None, 256)
    """
    parts = vectors if isinstance(vectors, list) else [vectors]
    if start == "identity" and parts[0].shape[-1] != embedding_size:
        raise ValueError(
            "An embedding starts as a vector of its own size. Received: vector of "
            f"{parts[0].shape[-1]}, embedding_size={embedding_size}"
        )
    shares = dropout if isinstance(dropout, Sequence) else [dropout] * len(parts)
    projected = [
        _projected(vector, embedding_size, hidden_size, share, number, start)
        for number, (vector, share) in enumerate(zip(parts, shares, strict=True))
    ]
    embedding = keras.layers.Add(name="sum")(projected) if len(parts) > 1 else projected[0]
    if standardize:
        embedding = keras.layers.BatchNormalization(
            momentum=0.95, center=False, scale=False, name="standardize"
        )(embedding)
    # float32 whatever the policy: cosine similarities of nearby pairs differ in the last digits.
    return keras.layers.UnitNormalization(name="embedding", dtype="float32")(embedding)


def _projected(
    vector: Any, embedding_size: int, hidden_size: int, dropout: float, number: int, start: str
) -> Any:
    suffix = f"_{number}" if number else ""
    linear = network = "glorot_uniform"
    if start == "identity":
        linear, network = "zeros" if number else "identity", "zeros"
    vector = keras.layers.Dropout(dropout, name=f"projection_dropout{suffix}")(vector)
    embedding = keras.layers.Dense(
        embedding_size, kernel_initializer=linear, name=f"projection{suffix}"
    )(vector)
    if hidden_size:
        hidden = keras.layers.Dense(
            hidden_size, activation="relu", name=f"residual_hidden{suffix}"
        )(vector)
        hidden = keras.layers.Dropout(dropout, name=f"residual_dropout{suffix}")(hidden)
        residual = keras.layers.Dense(
            embedding_size, kernel_initializer=network, name=f"residual{suffix}"
        )(hidden)
        embedding = keras.layers.Add(name=f"residual_sum{suffix}")([embedding, residual])
    return embedding
