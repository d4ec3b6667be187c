"""Image backbones: pixels to features."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
from keras import ops

from mite_tf.errors import MiteError
from mite_tf.files import refuse_pointer

# Value range that each family's ImageNet weights expect and its own layers do not yet provide
# (`preprocess_input` of its module in keras.applications). Families that are absent here rescale
# inside the model.
_VALUE_RANGES = {
    "DenseNet": "imagenet",
    "InceptionResNet": "symmetric",
    "InceptionV3": "symmetric",
    "MobileNetV2": "symmetric",
    "MobileNet": "symmetric",
    "NASNet": "symmetric",
    "ResNet50V2": "symmetric",
    "ResNet101V2": "symmetric",
    "ResNet152V2": "symmetric",
    "ResNet": "caffe",
    "VGG": "caffe",
    "Xception": "symmetric",
}
_RESCALED_INSIDE = ("MobileNetV3", "EfficientNet", "ConvNeXt")


def small_cnn(*, image_size: int = 96, width: int = 32, name: str = "backbone") -> keras.Model:
    """Builds a small convolutional network that trains from scratch in minutes on a CPU.

    Four stages of two 3x3 convolutions, each halving the size and doubling the width. Group
    normalisation instead of batch normalisation: it is the same in training and in use.

    Args:
        image_size: Height and width S of the input, in pixels.
        width: Channels of the first stage.
        name: Name of the model.

    Returns:
        Model from pixels `[N, S, S, 3]` in 0-255 to a map `[N, S/16, S/16, 8 * width]`.

    Example:
        >>> small_cnn(image_size=64, width=16).output_shape
        (None, 4, 4, 128)
    """
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(pixels)
    for stage in range(4):
        channels = width * 2**stage
        for number in range(2):
            x = keras.layers.Conv2D(
                channels,
                3,
                strides=2 if number == 0 else 1,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=f"stage{stage}_conv{number}",
            )(x)
            x = keras.layers.GroupNormalization(8, name=f"stage{stage}_norm{number}")(x)
            x = keras.layers.ReLU(name=f"stage{stage}_relu{number}")(x)
    return keras.Model(pixels, x, name=name)


def application_backbone(
    family: str,
    *,
    image_size: int = 224,
    weights: str | None = "imagenet",
    feature_map: bool = True,
    name: str = "backbone",
) -> keras.Model:
    """Builds a backbone of `keras.applications`, taking pixels in 0-255 whatever the family.

    Args:
        family: Name of the model in `keras.applications`, such as `EfficientNetV2B0`.
        image_size: Height and width of the input, in pixels.
        weights: `imagenet` (downloaded once by Keras), a file of weights, or None for random.
        feature_map: Whether a map is wanted, or its average over all positions.
        name: Name of the model.

    Returns:
        Model from pixels `[N, S, S, 3]` in 0-255 to features `[N, H, W, C]` or `[N, C]`.

    Raises:
        MiteError: If Keras has no such model, or its weights cannot be had.

    Example:
        >>> application_backbone("MobileNetV3Small", image_size=64, weights=None).output_shape
        (None, 2, 2, 576)
    """
    build = getattr(keras.applications, family, None)
    if not inspect.isfunction(build):
        known = [n for n, f in vars(keras.applications).items() if inspect.isfunction(f)]
        raise MiteError(
            f"Unknown backbone {family!r}: neither a Keras model file nor one of "
            f"small-cnn, features, {', '.join(sorted(known))}."
        )
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, name="pixels")
    try:
        model = build(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:
        raise MiteError(
            f"{family} could not be built with weights={weights!r} for {image_size} px: {error} "
            "Without internet access, save the model as a .keras file elsewhere and name that "
            "file, or set backbone.weights to none."
        ) from error
    features = model(_to_value_range(pixels, family))
    if not feature_map:
        features = keras.layers.GlobalAveragePooling2D(name="average")(features)
    return keras.Model(pixels, features, name=name)


def _to_value_range(pixels: Any, family: str) -> Any:
    prefix = next((p for p in _VALUE_RANGES if family.startswith(p)), None)
    kind = None if prefix is None or family.startswith(_RESCALED_INSIDE) else _VALUE_RANGES[prefix]
    if kind == "symmetric":
        return keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(pixels)
    if kind == "imagenet":
        mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return keras.layers.Rescaling(
            [1 / (255 * d) for d in deviation],
            offset=[-m / d for m, d in zip(mean, deviation, strict=True)],
            name="rescale",
        )(pixels)
    if kind == "caffe":
        return keras.layers.Rescaling(
            [1.0, 1.0, 1.0], offset=[-103.939, -116.779, -123.68], name="rescale"
        )(ops.flip(pixels, axis=-1))
    return pixels


def file_backbone(
    path: str | Path, *, feature_map: bool, image_size: int | None = None, name: str = "backbone"
) -> keras.Model:
    """Opens a Keras model file as a backbone.

    Args:
        path: A `.keras` file whose model maps pixels `[N, H, W, 3]` in 0-255 to a feature vector
            `[N, C]` or a feature map `[N, H, W, C]`.
        feature_map: Whether a map is wanted: a global pooling layer at the end is then cut off.
        image_size: Height and width of the input in pixels, if not those of the file. Convolutional
            networks allow it and often gain by a size above the one they were trained at (Touvron
            et al., NeurIPS 2019, arXiv:1906.06423).
        name: Name of the model.

    Raises:
        MiteError: If the file is absent, is no Keras model, maps something else, or its layers
            do not allow `image_size`.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/mine.keras"
        >>> small_cnn(image_size=64, width=16).save(file)
        >>> file_backbone(file, feature_map=True, image_size=32).output_shape
        (None, 2, 2, 128)
    """
    path = Path(path)
    if not path.is_file():
        raise MiteError(f"{path}: no such backbone file.")
    refuse_pointer(path)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise MiteError(f"{path}: cannot be opened as a Keras model: {error}") from error
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] != 3:
        raise MiteError(
            f"{path}: a backbone takes one input of pixels [N, H, W, 3]; "
            f"this model takes {[tuple(tensor.shape) for tensor in inputs]}."
        )
    output = model.outputs[0]
    pools = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    if feature_map and isinstance(model.layers[-1], pools):
        output = model.layers[-1].input
    if len(output.shape) not in (2, 4) or None in output.shape[1:]:
        raise MiteError(
            f"{path}: a backbone gives features [N, C] or [N, H, W, C] of fixed size; "
            f"this model gives {tuple(output.shape)}. Save it without its last layers, or with "
            "a fixed input size."
        )
    backbone = keras.Model(inputs[0], output, name=name)
    if not image_size or backbone.input_shape[1:3] == (image_size, image_size):
        return backbone
    try:
        resized = resized_backbone(backbone, image_size)
    except ValueError as error:
        raise MiteError(
            f"{path}: its layers do not allow images of {image_size} px: {error} "
            f"Set backbone.image_size to {inputs[0].shape[1]}."
        ) from error
    return keras.Model(resized.inputs[0], resized.outputs[0], name=name)


def resized_backbone(backbone: keras.Model, image_size: int) -> keras.Model:
    """Gives a backbone for images of another size that shares every layer and weight.

    Raises:
        ValueError: If a layer depends on the size, such as a dense layer over a flattened map.

    Example:
        >>> backbone = small_cnn(image_size=64, width=16)
        >>> resized_backbone(backbone, 32).output_shape
        (None, 2, 2, 128)
    """
    return keras.models.clone_model(
        backbone,
        input_tensors=keras.Input((image_size, image_size, 3), name="pixels"),
        clone_function=lambda layer: layer,
    )


def load_backbone(
    backbone: str, *, image_size: int, weights: str | None, feature_map: bool, width: int = 32
) -> keras.Model:
    """Returns the backbone that a configuration names.

    Args:
        backbone: `small-cnn`, a model of `keras.applications`, or the path of a `.keras` file.
        image_size: Input size in pixels.
        weights: For `keras.applications`: `imagenet`, a file, or None.
        feature_map: Whether the head pools a feature map (a file's last pooling is cut off).
        width: Channels of the first stage of `small-cnn`.

    Example:
        >>> load_backbone("small-cnn", image_size=64, weights=None, feature_map=True).output_shape
        (None, 4, 4, 256)
    """
    if backbone == "small-cnn":
        return small_cnn(image_size=image_size, width=width)
    if Path(backbone).suffix == ".keras":
        return file_backbone(backbone, feature_map=feature_map, image_size=image_size)
    return application_backbone(
        backbone, image_size=image_size, weights=weights, feature_map=feature_map
    )
