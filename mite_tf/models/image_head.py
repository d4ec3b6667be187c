"""From backbone features to an image embedding."""

from __future__ import annotations

import keras

from mite_tf.models.pooling import pooling_layer
from mite_tf.models.power_normalization import PowerNormalization
from mite_tf.models.projection import project


def image_head(
    feature_shape: tuple[int, ...],
    *,
    embedding_size: int = 512,
    hidden_size: int = 512,
    pooling: str = "average",
    power: float = 1.0,
    dropout: float = 0.2,
    standardize: bool = False,
    name: str = "head",
) -> keras.Model:
    """Builds the head: pooling of a feature map, residual projection, unit norm.

    Args:
        feature_shape: Shape of one image's features: `(C,)`, or `(H, W, C)` for a map.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the residual network; 0 for a linear projection.
        pooling: `average`, `max` or `generalized`, which forget where in the image a feature
            was; or `flatten`, which keeps it, for small maps. A feature vector needs none.
        power: Exponent of a power normalisation of the pooled features, see
            `PowerNormalization`; 1 leaves them as they are.
        dropout: Share of features dropped in training.
        standardize: Whether to standardise the embeddings over the batch, see `project`.
        name: Name of the model.

    Returns:
        Functional model from features `[N, C]` or `[N, H, W, C]` to embeddings `[N, D]`.

    Raises:
        ValueError: If the shape is neither that of a vector nor of a map.

    Example:
        >>> head = image_head((7, 7, 1280), embedding_size=256, pooling="generalized")
        >>> head.output_shape
        (None, 256)
    """
    if len(feature_shape) not in (1, 3):
        raise ValueError(
            "Features are a vector (C,) or a map (H, W, C). "
            f"Received: feature_shape={tuple(feature_shape)}"
        )
    features = keras.Input(feature_shape, name="features")
    vector = features
    if len(feature_shape) == 3:
        if pooling == "flatten":
            vector = keras.layers.Flatten(name="pooling")(features)
        else:
            vector = pooling_layer(pooling, name="pooling")(features)
    if power != 1:
        vector = PowerNormalization(power, name="power")(vector)
    embedding = project(
        vector,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        dropout=dropout,
        standardize=standardize,
    )
    return keras.Model(features, embedding, name=name)
