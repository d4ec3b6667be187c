"""Pixels, or features computed beforehand, to an image embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from mite_tf.models.pooling import pooling_layer
from mite_tf.models.projection import project
from mite_tf.models.resizing import resized_backbone

# Keeps the slope of a power finite at 0, where many features lie.
_EPSILON = 1e-6
# Of DINO in KerasHub: what only its own training uses, and what 0.32 forgets when it is saved.
_RESTING = ("mask_token", "interpolated_position_embeddings")


@keras.saving.register_keras_serializable(package="mite_tf")
class ImageEncoder(keras.Model):
    """Functional model of a backbone and a head.

    Args:
        backbone: Model from pixels `[N, H, W, 3]` in 0-255 to features, of any name; None when
            the features come precomputed: the encoder then starts at the head.
        head: Model from features to embeddings `[N, D]`, see `image_head`.
        name: Name of the model.

    Raises:
        ValueError: If the backbone's features are not what the head takes.

    Example:
        >>> from mite_tf.models import small_cnn
        >>> backbone = small_cnn(image_size=64)
        >>> encoder = ImageEncoder(backbone, image_head(backbone.output_shape[1:]))
        >>> encoder.output_shape, encoder.head.output_shape
        ((None, 512), (None, 512))
    """

    def __init__(
        self,
        backbone: keras.Model | None,
        head: keras.Model,
        *,
        name: str = "image_encoder",
        **kwargs: Any,
    ) -> None:
        if backbone is None:
            inputs = keras.Input(head.input_shape[1:], name="features")
            embedding = head(inputs)
        else:
            if backbone.output_shape != head.input_shape:
                raise ValueError(
                    "The head takes other features than the backbone gives. Build it with "
                    "`image_head(backbone.output_shape[1:])`. Received: backbone.output_shape="
                    f"{backbone.output_shape}, head.input_shape={head.input_shape}"
                )
            inputs = keras.Input(backbone.input_shape[1:], name="pixels")
            embedding = head(backbone(inputs))
        super().__init__(inputs, embedding, name=name, **kwargs)
        self.backbone = backbone
        self.head = head

    def features(self, inputs: Mapping[str, Any]) -> Any:
        """Returns the `features` of a batch, or those that the backbone finds in its `pixels`.

        The pixels may have another size than the backbone's input. It runs in inference mode.

        Raises:
            ValueError: If there are no features and no backbone.
        """
        if "features" in inputs:
            return inputs["features"]
        if self.backbone is None:
            raise ValueError(
                "This image encoder starts at precomputed features, so a batch needs the key "
                f"'features'. Received the keys: {sorted(inputs)}"
            )
        backbone, pixels = self.backbone, inputs["pixels"]
        if pixels.shape[1] != backbone.input_shape[1]:
            backbone = resized_backbone(backbone, pixels.shape[1])
        return backbone(pixels, training=False)

    @property
    def backbone_variables(self) -> list[keras.Variable]:
        """Variables of the backbone that a training may change."""
        variables = self.backbone.trainable_variables if self.backbone is not None else []
        return [each for each in variables if each.name not in _RESTING]

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone and keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ImageEncoder:
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects=custom_objects))


def image_head(
    feature_shape: tuple[int, ...],
    *,
    embedding_size: int = 512,
    hidden_size: int = 512,
    pooling: str = "average",
    power: float = 1.0,
    dropout: float = 0.2,
    standardize: bool = False,
    start: str = "random",
    name: str = "head",
) -> keras.Model:
    """Builds the head: pooling of a feature map, residual projection, unit norm.

    Args:
        feature_shape: Shape of one image's features: `(C,)`, or `(H, W, C)` for a map.
        embedding_size: Size D of the embedding.
        hidden_size: Width of the residual network; 0 for a linear projection.
        pooling: `average`, `max` or `generalized`, which forget where a feature was; or `flatten`,
            which keeps it, for small maps. A feature vector needs none.
        power: Exponent of a `PowerNormalization` of the pooled features; 1 for none.
        dropout: Share of features dropped in training.
        standardize: Whether to standardise the embeddings over the batch, see `project`.
        start: `random`, or `identity` to begin as the pooled features, see `project`.
        name: Name of the model.

    Returns:
        Functional model from features `[N, C]` or `[N, H, W, C]` to embeddings `[N, D]`.

    Raises:
        ValueError: If the shape is neither that of a vector nor of a map, or does not go with
            `start`.

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
    embedding = project(vector, embedding_size, hidden_size, dropout, standardize, start)
    return keras.Model(features, embedding, name=name)


@keras.saving.register_keras_serializable(package="mite_tf")
class PowerNormalization(keras.layers.Layer):
    """Raises the size of each value to a power and keeps its sign.

    Pooled features of a ReLU network are bursty: a few large values drown the many small ones.
    A square root evens them out, which linear layers on top learn from more easily.

    Args:
        exponent: Power in (0, 1]; 0.5 is the usual signed square root.

    Raises:
        ValueError: If the exponent is outside its range.

    Reference:
        Perronnin et al., Improving the Fisher Kernel for Large-Scale Image Classification, 2010,
        doi:10.1007/978-3-642-15561-1_11.

    Example:
        >>> PowerNormalization(0.5)(ops.array([4.0, -9.0])).numpy().round(3).tolist()
        [2.0, -3.0]
    """

    def __init__(self, exponent: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < exponent <= 1:
            raise ValueError(f"`exponent` lies in (0, 1]. Received: exponent={exponent}")
        self.exponent = exponent

    def call(self, inputs: Any) -> Any:
        return ops.sign(inputs) * ops.power(ops.absolute(inputs) + _EPSILON, self.exponent)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "exponent": self.exponent}
