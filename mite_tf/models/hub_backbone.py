"""Image networks of KerasHub as backbones, each with its own preprocessing inside."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from mite_tf.errors import MiteError
from mite_tf.models.resizing import PictureInput
from mite_tf.preset_loading import load_network
from mite_tf.presets import file_of_preset, licence_of, loading_preset

_SIZE = 224  # of what takes any
_RESAMPLING = {2: "bilinear", 3: "bicubic"}  # the numbers of Pillow
Pooling = Literal["cls", "mean"]


class _Values(NamedTuple):
    """What a network was trained to see: pixels in 0-255 times `scale` plus `offset`."""

    scale: Any
    offset: Any
    resize: str
    size: int | None


def hub_backbone(
    preset: str,
    *,
    image_size: int | None = None,
    feature_map: bool = True,
    pooling: Pooling = "cls",
    name: str = "backbone",
) -> keras.Model:
    """Loads an image network of KerasHub as a backbone, taking pixels in 0-255 as every one here.

    ViT, DINOv2, DINOv3, Swin, ResNet, EfficientNet and MobileNet are such networks, and so are the
    image towers of SigLIP and CLIP. Rescaling and normalisation of the preset are inside.

    Args:
        preset: A preset of KerasHub, a handle (`hf://…`, `kaggle://…`), or a folder: of KerasHub
            with `image_converter.json`, or of Hugging Face with `preprocessor_config.json`.
        image_size: Height and width S of the input in pixels; that of the preset by default.
        feature_map: Whether a map is wanted: of a transformer, its patches in rows and columns.
        pooling: Otherwise, how the tokens of a transformer become a vector: its own (`cls`: the
            class token, or what the pooling and projection of SigLIP and CLIP make, which texts
            are compared with), or the `mean` of the patches. Of a convolutional network it is
            always the mean.
        name: Name of the model.

    Returns:
        Model from pixels `[N, S, S, 3]` to features `[N, H, W, C]` or `[N, C]`.

    Raises:
        MiteError: If there is no such network, it cannot be fetched, is not one of pictures, does
            not allow the size, or does not say which values it takes.

    Example:
        >>> hub_backbone("vit-of-the-moon")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: vit-of-the-moon: KerasHub cannot load this as an image network...
    """
    with loading_preset(preset, "an image network") as keras_hub:
        network = load_network(preset)
    tower = _image_tower(preset, network)
    own = _input(tower).shape[1]
    if image_size and own and image_size != own:
        try:  # position embeddings are interpolated by what allows it
            shape = (image_size, image_size, 3)
            network = load_network(preset, image_shape=shape)
            own = image_size
        except Exception as error:  # of shapes, or of arguments that it does not know
            raise MiteError(
                f"{preset}: its layers do not allow images of {image_size} px. Set "
                f"backbone.image_size to {own}."
            ) from error
    values = _values(preset, keras_hub)
    size = own or image_size or values.size or _SIZE
    tower = _image_tower(preset, network)
    fixed = own or len(tower.output.shape) < 4
    pixels = keras.Input((size, size, 3), name="pixels")
    picture = PictureInput(values.resize, size if fixed else None, licence_of(preset))(pixels)
    scaled = keras.layers.Rescaling(values.scale, values.offset, name="rescale")(picture)
    if tower is not network and pooling == "cls" and not feature_map:
        features = network.get_vision_embeddings(scaled)
    else:
        features = _features(tower, scaled, feature_map, pooling)
    return keras.Model(pixels, features, name=name)


def _image_tower(preset: str, network: Any) -> Any:
    """The part of a network that takes pictures: itself, or one of two towers."""
    tower = getattr(network, "vision_encoder", network)
    takes = [*tower.input] if isinstance(tower.input, dict) else ["pixels"]
    of_pictures = len(takes) == 1 and _input(tower).shape[3:] == (3,)
    if not of_pictures or not hasattr(tower.output, "shape"):
        raise MiteError(
            f"{preset}: is a {type(network).__name__}, which takes {' and '.join(takes)}: no "
            "network from pictures alone to features. Name a ViT, DINOv2, SigLIP, ResNet, "
            "EfficientNet, MobileNet or one like these."
        )
    return tower


def _input(tower: Any) -> Any:
    return keras.tree.flatten(tower.input)[0]


def _features(tower: Any, pixels: Any, feature_map: bool, pooling: str) -> Any:
    if len(tower.output.shape) == 2:  # SigLIP pools in its last layer
        patch = tower.patch_size
        tower = keras.Model(tower.input, tower.layers[-1].input)
        tower.patch_size = patch
    by_name = dict.fromkeys(tower.input, pixels) if isinstance(tower.input, dict) else pixels
    found = tower(by_name)
    average = keras.layers.GlobalAveragePooling2D(name="average")
    if len(found.shape) == 4:
        return found if feature_map else average(found)
    rows = pixels.shape[1] // int(np.max(tower.patch_size))
    count = found.shape[1] or math.inf
    if count < rows**2:  # Swin merges patches
        rows = math.isqrt(int(count))
    if not feature_map and pooling == "cls" and count > rows**2:
        return found[:, 0]
    # Class and register tokens stand before the patches.
    patches = found[:, -(rows**2) :]
    grid = keras.layers.Reshape((rows, rows, found.shape[-1]), name="patches")(patches)
    return grid if feature_map else average(grid)


def _values(preset: str, keras_hub: Any) -> _Values:
    """What a preset says of the values that it takes."""
    said = "image_converter.json of KerasHub or preprocessor_config.json of Hugging Face"
    try:
        of_transformers = file_of_preset(preset, "preprocessor_config.json")
        if of_transformers is not None and not file_of_preset(preset, "image_converter.json"):
            return _of_transformers(json.loads(of_transformers.read_text("utf-8")))
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except Exception as error:
        raise MiteError(
            f"{preset}: does not say which values its pixels are to have: it has no readable "
            f"{said}. Put the one that it was published with beside its config.json."
        ) from error
    if converter is None:
        raise MiteError(f"{preset}: does not say which values its pixels are to have, by {said}.")
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    resize = "bicubic" if converter.interpolation == "bicubic" else "bilinear"
    return _Values(scale, offset, resize, (converter.image_size or (None,))[0])


def _of_transformers(settings: dict[str, Any]) -> _Values:
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    mean, deviation = np.zeros(3), np.ones(3)
    if settings.get("do_normalize", True):
        mean = np.broadcast_to(np.asarray(settings.get("image_mean", 0.5), float), 3)
        deviation = np.broadcast_to(np.asarray(settings.get("image_std", 0.5), float), 3)
    size = settings.get("crop_size") or settings.get("size")
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    resize = _RESAMPLING.get(settings.get("resample", 2), "bilinear")
    return _Values((factor / deviation).tolist(), (-mean / deviation).tolist(), resize, size)
