"""Image backbones: pixels to features."""

from __future__ import annotations

from pathlib import Path

import keras

from mite_tf.errors import MiteError
from mite_tf.files import locked, writing
from mite_tf.models.applications import (
    COLOURS,
    application_backbone,
    application_names,
    preprocessed_colours,
    with_preprocessing,
)
from mite_tf.models.backbone_checks import (
    gives_scores,
    known_family,
    probe,
    refuse_unusable,
)
from mite_tf.models.backbone_files import open_model
from mite_tf.models.hub_backbone import Pooling, hub_backbone
from mite_tf.models.resizing import resized_backbone
from mite_tf.presets import is_preset

_SIZE = 224  # the one that most networks of keras.applications were trained at
_POOLS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


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


def file_backbone(
    path: str | Path,
    *,
    feature_map: bool,
    image_size: int | None = None,
    check: bool = True,
    name: str = "backbone",
) -> keras.Model:
    """Opens a Keras model file as a backbone.

    Its layers become one flat model, all of them trainable: a stage says what it trains.

    Args:
        path: A `.keras` or `.h5` file whose model maps pixels `[N, H, W, 3]` in 0-255 to a feature
            vector `[N, C]` or a feature map `[N, H, W, C]`.
        feature_map: Whether a map is wanted: a global pooling layer at the end is then cut off.
        image_size: Height and width of the input in pixels, if not those of the file (224 where it
            takes any). Convolutional networks allow it and often gain by a size above the one they
            were trained at (Touvron et al., NeurIPS 2019, arXiv:1906.06423).
        check: Whether to refuse a known family of `keras.applications` without its preprocessing,
            and features that are not finite or always the same.
        name: Name of the model.

    Raises:
        MiteError: If the file is absent, is no Keras model, maps something else, is refused, or its
            layers do not allow `image_size`.

    Example:
        >>> import tempfile
        >>> file = f"{tempfile.mkdtemp()}/mine.keras"
        >>> small_cnn(image_size=64, width=16).save(file)
        >>> file_backbone(file, feature_map=True, image_size=32).output_shape
        (None, 2, 2, 128)
    """
    model = _one_input_one_output(path)
    own = model.inputs[0].shape[1]
    size = image_size or own or _SIZE
    try:
        flat = resized_backbone(model, size)
    except ValueError as error:
        hint = f"Set backbone.image_size to {own}." if own else "Give it a fixed input size."
        raise MiteError(
            f"{path}: its layers do not allow images of {size} px: "
            f"{' '.join(str(error).split())} {hint}"
        ) from error
    if feature_map and isinstance(flat.layers[-1], _POOLS):
        flat = resized_backbone(flat, size, without=[flat.layers[-1].name])
    if len(flat.output_shape) not in (2, 4) or None in flat.output_shape[1:]:
        raise MiteError(
            f"{path}: a backbone gives features [N, C] or [N, H, W, C] of fixed size; "
            f"this model gives {flat.output_shape}. Save it without its last layers, or with "
            "a fixed input size."
        )
    backbone = keras.Model(flat.inputs[0], flat.outputs[0], name=name)
    for layer in backbone.layers:
        layer.trainable = True
    if check:
        try:
            refuse_unusable(backbone)
        except MiteError as error:
            raise MiteError(f"{path}: {str(error).replace('FILE', str(path))}") from error
    return backbone


def _one_input_one_output(path: str | Path) -> keras.Model:
    """Opens a model file and refuses a model that does not map pixels to one thing."""
    model = open_model(path)
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[-1] != 3:
        takes = [tuple(tensor.shape) for tensor in inputs] or "no input that it declares"
        raise MiteError(
            f"{path}: a backbone takes one input of pixels [N, H, W, 3]; this model takes {takes}."
        )
    if len(model.outputs) != 1:
        raise MiteError(
            f"{path}: a backbone gives one output; this model gives "
            f"{[tuple(tensor.shape) for tensor in model.outputs]}. Save one that ends at the "
            "features: keras.Model(model.inputs, FEATURES)."
        )
    return keras.Model(inputs[0], model.outputs[0])


def load_backbone(
    backbone: str,
    *,
    image_size: int,
    weights: str | None,
    feature_map: bool,
    width: int = 32,
    check: bool = True,
    pooling: Pooling = "cls",
) -> keras.Model:
    """Returns the backbone that a configuration names.

    Args:
        backbone: `small-cnn`, a model of `keras.applications`, the path of a model file, or what
            `hub_backbone` takes.
        image_size: Input size in pixels.
        weights: For `keras.applications`: `imagenet`, a file, or None.
        feature_map: Whether the head pools a feature map (a file's last pooling is cut off).
        width: Channels of the first stage of `small-cnn`.
        check: Whether to refuse a file as `file_backbone` does.
        pooling: As for `hub_backbone`.

    Example:
        >>> load_backbone("small-cnn", image_size=64, weights=None, feature_map=True).output_shape
        (None, 4, 4, 256)
    """
    if backbone == "small-cnn":
        return small_cnn(image_size=image_size, width=width)
    path, others = Path(backbone), application_names()
    if backbone not in others and is_preset(backbone):
        return hub_backbone(
            backbone, image_size=image_size, feature_map=feature_map, pooling=pooling
        )
    if backbone not in others and (path.suffix or path.parent.name or path.exists()):
        return file_backbone(path, feature_map=feature_map, image_size=image_size, check=check)
    return application_backbone(
        backbone, image_size=image_size, weights=weights, feature_map=feature_map
    )


def write_backbone(
    out: str | Path,
    family: str | None = None,
    *,
    source: str | Path | None = None,
    weights: str | Path | None = "imagenet",
    image_size: int | None = None,
    pooling: Pooling | None = None,
) -> keras.Model:
    """Writes a backbone to a `.keras` file, its preprocessing inside and no classifier behind.

    The file takes pixels in 0-255 and gives a feature map; it appears whole or not at all.

    Args:
        out: The file.
        family: Name of a model in `keras.applications`; of a `source` only where its layers do not
            tell. Or a network of KerasHub, as for `hub_backbone`.
        source: Model file to start from. Preprocessing is added where its first convolution gets
            pixels as they are, classifier and global pooling are cut off.
        weights: Without a source: `imagenet`, a file, or None for random ones.
        image_size: Height and width of the input; that of the source if None, or 224.
        pooling: For a network of KerasHub: a vector in place of the map, see `hub_backbone`.

    Returns:
        The backbone that was written.

    Raises:
        MiteError: If the family or a file is not what it should be.

    Example:
        >>> import tempfile
        >>> out = f"{tempfile.mkdtemp()}/mobilenet.keras"
        >>> write_backbone(out, "MobileNet", weights=None, image_size=64).output_shape
        (None, 2, 2, 1024)
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise MiteError(f"{out}: the name of a backbone file ends in .keras.")
    if source is not None:
        backbone = _completed(source, family, image_size)
    elif family is not None and family not in application_names() and is_preset(family):
        vector = {"pooling": pooling} if pooling else {}
        backbone = hub_backbone(family, image_size=image_size, feature_map=not pooling, **vector)
    elif family is not None:
        backbone = application_backbone(family, image_size=image_size or _SIZE, weights=weights)
    else:
        raise MiteError("Name a model of keras.applications, a preset or a file to start from.")
    beside = out.with_name(f".{out.name}.tmp.keras")  # Keras wants the suffix
    with writing(out, draft=out.with_name(f".{out.name}")):
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out.with_name(f".{out.name}.lock")):
            try:
                backbone.save(beside)
                beside.replace(out)
            finally:
                beside.unlink(missing_ok=True)
    return backbone


def _completed(source: str | Path, family: str | None, image_size: int | None) -> keras.Model:
    """The model of a file with its preprocessing, without classifier and pooling."""
    opened = file_backbone(source, feature_map=True, image_size=image_size, check=False)
    try:
        found = probe(opened, any_features=True)  # they may be cut off
    except MiteError as error:
        raise MiteError(f"{source}: {error}") from error
    size, behind = opened.input_shape[1], []
    if gives_scores(opened, found.features):
        shapes: dict[str, tuple[int | None, ...]] = {}
        resized_backbone(opened, size, shapes=shapes)
        names = list(shapes)
        maps = [name for name in names if _is_map(shapes[name])]
        behind = names[names.index(maps[-1]) + 1 :] if maps else names[-1:]
    known = known_family(opened)
    model = family or (known and known.model)
    colours = COLOURS
    if found.gets_pixels:
        if model is None:
            raise MiteError(
                f"{source}: is of no family of keras.applications that its layers tell. Name the "
                "one whose preprocessing it needs, as in `mite backbone MobileNetV2 --from …`."
            )
        application = application_backbone(model, image_size=96, weights=None)
        wanted = probe(application).colours
        colours = preprocessed_colours(model) if wanted is None else wanted
    pixels = keras.Input(opened.input_shape[1:])
    features = resized_backbone(opened, size, without=behind)(with_preprocessing(pixels, colours))
    completed = resized_backbone(keras.Model(pixels, features, name="backbone"), size)
    try:
        probe(completed)
    except MiteError as error:
        raise MiteError(f"{source}: {error}") from error
    return completed


def _is_map(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and (shape[1] or 2) * (shape[2] or 2) > 1
