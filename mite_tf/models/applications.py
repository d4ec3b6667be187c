"""Backbones of `keras.applications`, each with its preprocessing inside."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from mite_tf.errors import MiteError

# Pixels by which a preprocessing, which is affine, is told: black, red, green and blue.
COLOURS = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)

# Layers by which a family is known in a file, whatever the model is called, and one of its models.
# The first family fits, all of whose patterns name a layer.
_MARKS = {
    "MobileNetV2": ("MobileNetV2", "bn_Conv1"),
    "MobileNetV3": ("MobileNetV3Small", "expanded_conv[_/]depthwise[_/](bn|BatchNorm)"),
    "MobileNet": ("MobileNet", "conv_dw_1", "conv_pw_1"),
    "DenseNet": ("DenseNet121", "conv2_block1_concat"),
    "ResNetV2": ("ResNet50V2", "conv2_block1_preact_bn"),
    "ResNet": ("ResNet50", "conv2_block1_0_conv", "conv1_bn"),
    "Xception": ("Xception", "block2_sepconv1"),
    "VGG": ("VGG16", "block5_conv3"),
    "InceptionResNetV2": ("InceptionResNetV2", "mixed_5b"),
    "InceptionV3": ("InceptionV3", "mixed0", "mixed10"),
    "NASNet": ("NASNetMobile", "reduction_conv_1_stem_1"),
    "EfficientNet": ("EfficientNetB0", "block1a_dwconv"),
    "EfficientNetV2M": ("EfficientNetV2M", "block1a_project_conv", "block7a_expand_conv"),
    "EfficientNetV2S": ("EfficientNetV2S", "block1a_project_conv", "block6o_expand_conv"),
    "EfficientNetV2": ("EfficientNetV2B0", "block1a_project_conv"),
    "ConvNeXt": ("ConvNeXtTiny", r"convnext_\w+_depthwise_conv"),
}


# no example: see `family_of`
class Family(NamedTuple):
    """A family of `keras.applications`: what to call it, and one of its models."""

    name: str
    model: str


def application_names() -> list[str]:
    """Returns the names of the models in `keras.applications`.

    Example:
        >>> "MobileNetV2" in application_names()
        True
    """
    return sorted(n for n, f in vars(keras.applications).items() if inspect.isfunction(f))


def application_backbone(
    family: str,
    *,
    image_size: int = 224,
    weights: str | Path | None = "imagenet",
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
    names = application_names()
    if family not in names:
        by_lower = {each.lower(): each for each in names}
        near = get_close_matches(family.lower(), by_lower, n=3)
        meant = f" Did you mean {' or '.join(by_lower[each] for each in near)}?" if near else ""
        raise MiteError(
            f"Unknown backbone {family!r}: neither a Keras model file nor one of "
            f"small-cnn, features, {', '.join(names)}.{meant}"
        )
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise MiteError(f"{weights}: no such file of weights. Name one, or imagenet, or none.")
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, name="pixels")
    try:
        with warnings.catch_warnings():  # that MobileNet's weights were not trained at this size
            warnings.simplefilter("ignore", UserWarning)
            model = getattr(keras.applications, family)(
                include_top=False,
                weights=weights and str(weights),
                input_shape=shape,
                input_tensor=with_preprocessing(pixels, preprocessed_colours(family)),
            )
    except Exception as error:
        raise MiteError(_why_not_built(family, image_size, weights, error)) from error
    if weights not in (None, "imagenet"):
        _correct_normalization(model)
    features = model.output
    if not feature_map:
        features = keras.layers.GlobalAveragePooling2D(name="average")(features)
    return keras.Model(pixels, features, name=name)


def preprocessed_colours(family: str) -> np.ndarray:
    """Returns what a model's `preprocess_input` makes of `COLOURS`, `[4, 3]`.

    It is the colours themselves where the model does the rest inside.

    Example:
        >>> preprocessed_colours("MobileNetV2")[1].tolist()  # red
        [1.0, -1.0, -1.0]
    """
    module = sys.modules[getattr(keras.applications, family).__module__]
    return np.asarray(module.preprocess_input(COLOURS[None, None].copy()))[0, 0]


def with_preprocessing(pixels: Any, colours: np.ndarray) -> Any:
    """Adds the layers that make of pixels what a preprocessing made of `COLOURS`.

    Args:
        pixels: Symbolic tensor `[N, H, W, 3]`, RGB in 0-255.
        colours: The four colours preprocessed, `[4, 3]`; in BGR where the family wants that.

    Example:
        >>> pixels = keras.Input((8, 8, 3))
        >>> model = keras.Model(pixels, with_preprocessing(pixels, COLOURS / 127.5 - 1))
        >>> model.layers[-1].scale
        [0.00784313...]
    """
    offset, slopes = colours[0].astype(float), (colours[1:] - colours[0]).astype(float) / 255
    if flipped := not slopes[0, 0]:  # red goes to the last channel
        slopes = slopes[::-1]
    scale = np.diag(slopes)
    if np.allclose(scale, 1) and np.allclose(offset, 0) and not flipped:
        return pixels
    if flipped:
        pixels = ops.flip(pixels, axis=-1)
    rescale = keras.layers.Rescaling(scale.tolist(), offset=offset.tolist(), name="rescale")
    return rescale(pixels)


def family_of(names: set[str]) -> Family | None:
    """Returns the family of `keras.applications` that has layers of these names, if any.

    Example:
        >>> model = keras.applications.MobileNetV2(weights=None, include_top=False)
        >>> family_of({layer.name for layer in model.layers}).name
        'MobileNetV2'
    """
    for family, (model, *patterns) in _MARKS.items():
        if all(any(re.fullmatch(each, name) for name in names) for each in patterns):
            return Family(family, model)
    return None


def _correct_normalization(model: keras.Model) -> None:
    """Puts right what `EfficientNetB0` to `B7` with weights from a file divide pixels by.

    The published weights hold deviations where the layer takes variances. Keras makes up for it
    only for `weights="imagenet"`.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            variance = np.asarray(layer.adapt_variance)
            if np.allclose(variance, (0.229, 0.224, 0.225), atol=1e-3):
                layer.adapt_variance.assign(variance**2)
                layer.finalize_state()


def _why_not_built(
    family: str, image_size: int, weights: str | Path | None, error: Exception
) -> str:
    reason = " ".join(str(error).split())
    if weights == "imagenet" and re.search(r"URL fetch failure|corrupted file|urlopen", reason):
        address = re.search(r"https?://[^\s:]+", reason)
        return (
            f"The ImageNet weights of {family} could not be fetched"
            f"{f' from {address[0]}' if address else ''} ({reason.rpartition(' -- ')[2]}). "
            f"Fetch that file elsewhere and give it as weights (`mite backbone {family} --weights "
            "FILE --out NEW.keras`, or --set backbone.weights=FILE), or run "
            f"`mite backbone {family} --out NEW.keras` where there is internet and name that file."
        )
    if weights not in (None, "imagenet"):
        return (
            f"{weights}: does not hold the weights of {family} without its classifier "
            f"(include_top=False): {reason}"
        )
    return f"{family} could not be built for images of {image_size} px: {reason}"
