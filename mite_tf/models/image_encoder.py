"""Pixels, or features computed beforehand, to an image embedding."""

from __future__ import annotations

import keras


def image_encoder(
    backbone: keras.Model | None, head: keras.Model, *, name: str = "image_encoder"
) -> keras.Model:
    """Joins a backbone and a head into the image encoder.

    Args:
        backbone: Model from pixels `[N, H, W, 3]` in 0-255 to features, or None when the
            features come precomputed: the encoder then starts at the head.
        head: Model from features to embeddings `[N, D]`, see `image_head`.
        name: Name of the model.

    Returns:
        Functional model with the submodels `backbone` and `head`
        (`encoder.get_layer("head")`), from `pixels` (or `features`) to `[N, D]`.

    Example:
        >>> from mite_tf.models import image_head, small_cnn
        >>> backbone = small_cnn(image_size=64)
        >>> encoder = image_encoder(backbone, image_head(backbone.output_shape[1:]))
        >>> encoder.output_shape
        (None, 512)
    """
    if backbone is None:
        inputs = keras.Input(head.input_shape[1:], name="features")
        return keras.Model(inputs, head(inputs), name=name)
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    return keras.Model(pixels, head(backbone(pixels)), name=name)


def backbone_of(encoder: keras.Model) -> keras.Model | None:
    """Returns the backbone of an image encoder, or None when it starts at features."""
    return next((layer for layer in encoder.layers if layer.name == "backbone"), None)


def head_of(encoder: keras.Model) -> keras.Model:
    """Returns the head of an image encoder.

    Raises:
        ValueError: If the model has no layer called `head`.
    """
    try:
        return encoder.get_layer("head")
    except ValueError as error:
        raise ValueError(
            f"An image encoder holds a submodel called 'head'; {encoder.name!r} has the layers "
            f"{[layer.name for layer in encoder.layers]}. Build it with `image_encoder`."
        ) from error
