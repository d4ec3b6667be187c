"""Backbones for images of another size, and what a picture has to become for one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="mite_tf")
class PictureInput(keras.layers.Layer):
    """Passes pixels on, and tells what belongs to a pretrained backbone but is in no layer of it.

    Args:
        resize: How its pictures were resized in training: `bilinear` or `bicubic`.
        size: Height and width that its layers take; None for any.
        licence: That of its weights, where it is known.

    Raises:
        ValueError: If pixels of another size are given.

    Example:
        >>> pixels = keras.Input((32, 32, 3))
        >>> PictureInput("bicubic", size=32, licence="mit")(pixels).shape
        (None, 32, 32, 3)
    """

    def __init__(
        self,
        resize: str = "bilinear",
        size: int | None = None,
        licence: str = "",
        *,
        name: str = "picture",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.resize = resize
        self.size = size
        self.licence = licence
        self.input_spec = keras.layers.InputSpec(shape=(None, size, size, 3))

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        own = {"resize": self.resize, "size": self.size, "licence": self.licence}
        return {**super().get_config(), **own}


def picture_input(backbone: keras.Model | None) -> PictureInput | None:
    """Returns the `PictureInput` of a backbone, if it has one.

    Example:
        >>> picture_input(None)
    """
    layers = backbone.layers if backbone is not None else []
    return next((each for each in layers if isinstance(each, PictureInput)), None)


def resized_backbone(
    backbone: keras.Model,
    image_size: int,
    *,
    without: Collection[str] = (),
    shapes: dict[str, tuple[int | None, ...]] | None = None,
) -> keras.Model:
    """Gives a flat backbone for images of another size that shares every layer and weight.

    The layers of models within the model come in their place, with new names where two have one;
    a network of KerasHub stays one.

    Args:
        backbone: Functional model.
        image_size: Height and width of the input.
        without: Names of layers to leave out; what they take goes on as it is.
        shapes: Filled with the shape that each layer gives, by its name, in order.

    Raises:
        ValueError: If a layer depends on the size, such as a dense layer over a flattened map.

    Example:
        >>> from mite_tf.models import small_cnn
        >>> backbone = small_cnn(image_size=64, width=16)
        >>> resized_backbone(backbone, 32).output_shape
        (None, 2, 2, 128)
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in without:
            return args[0]
        given = layer.call if _is_functional(layer) else layer
        result = given(*args, **kwargs)
        if shapes is not None:
            shapes[layer.name] = getattr(result, "shape", ())
        return result

    _name_apart(backbone, set())
    name, nested = backbone.name, True
    while nested:
        backbone = keras.models.clone_model(
            keras.Model(backbone.inputs[0], backbone.outputs[0], name=name),
            input_tensors=keras.Input((image_size, image_size, 3), name="pixels"),
            clone_function=lambda layer: layer,
            call_function=call,
        )
        nested = any(_is_functional(layer) for layer in backbone.layers)
    return backbone


def _is_functional(layer: Any) -> bool:
    # Networks of KerasHub are saved as a whole: not all of their layers can be by themselves.
    whole = type(layer).__module__.startswith("keras_hub.")
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None)) and not whole


def _name_apart(model: Any, names: set[str]) -> None:
    """Names operations anew, in place, that share their name with one of another model within."""
    for operation in getattr(model, "operations", model.layers):
        if _is_functional(operation):
            _name_apart(operation, names)
        elif not isinstance(operation, keras.layers.InputLayer):
            name, number = operation.name, 1
            while operation.name in names:
                operation.name, number = f"{name}_{number}", number + 1
            names.add(operation.name)
