"""What two pictures, sent through a backbone, tell about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from mite_tf.errors import MiteError
from mite_tf.models.applications import COLOURS, Family, family_of, preprocessed_colours

_CLASSES = (1000, 1001, 21841, 21843)  # of ImageNet, and of ImageNet-21k
_INITIALLY_ZERO = ("bias", "beta", "moving_mean")


# no example: see `probe`
class Probe(NamedTuple):
    """What a backbone makes of two pictures.

    `features` are those of both, `[2, ...]`; `colours`, `[4, 3]`, is what the first convolution
    got for `COLOURS`, None if there is none that takes three channels.
    """

    features: np.ndarray
    colours: np.ndarray | None

    @property
    def gets_pixels(self) -> bool:
        """Whether the first convolution gets pixels in 0-255 as they are."""
        return self.colours is not None and bool(np.allclose(self.colours, COLOURS, atol=2))


def probe(backbone: keras.Model, *, any_features: bool = False) -> Probe:
    """Sends four fields of colour and noise through a backbone.

    With `any_features`, those of both pictures may be the same, as those of a classifier that
    nothing has trained are.

    Raises:
        MiteError: If it fails, or its features are of no use.

    Example:
        >>> from mite_tf.models import small_cnn
        >>> probe(small_cnn(image_size=32, width=8)).colours[1].tolist()  # red
        [1.0, -1.0, -1.0]
    """
    height, width = (size or 224 for size in backbone.input_shape[1:3])
    fields = COLOURS.reshape(2, 2, 3).repeat(-(-height // 2), 0).repeat(-(-width // 2), 1)
    noise = np.random.default_rng(0).uniform(0, 255, (height, width, 3))
    pictures = np.stack([fields[:height, :width], noise]).astype(np.float32)
    seen: list[np.ndarray] = []
    layers = dict.fromkeys(leaves(backbone))  # each once, also where models share one
    convolutions = [layer for layer in layers if "conv" in type(layer).__name__.lower()]
    for layer in convolutions:
        _watch(layer, seen)
    logger = logging.getLogger("tensorflow")  # it finds that convolutions are compiled one by one
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        features = np.asarray(backbone(pictures, training=False))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise MiteError(f"it fails on a picture of {height} x {width} pixels: {reason}") from error
    finally:
        logger.setLevel(level)
        for layer in convolutions:
            del layer.call
    if not np.issubdtype(features.dtype, np.floating) and features.dtype.name != "bfloat16":
        raise MiteError(f"its features are of type {features.dtype.name}, not real numbers.")
    features = features.astype(np.float32)
    if not np.isfinite(features).all():
        raise MiteError("its features are not finite (NaN or infinite).")
    largest = np.abs(features).max()
    if largest > np.finfo(np.float16).max:
        raise MiteError(
            f"its features reach {largest:.3g}, beyond float16, in which they are cached. Scale "
            "them, as a last layer of normalisation does."
        )
    if not any_features and np.abs(features[0] - features[1]).max() <= 1e-5 * largest:
        raise MiteError("its features are the same for different pictures.")
    return Probe(features, _at_colours(seen[0]) if seen else None)


def refuse_unusable(backbone: keras.Model) -> None:
    """Refuses a backbone of no use, or of a known family without its preprocessing.

    Raises:
        MiteError: If so; the sentence goes on after the name of the file.

    Example:
        >>> model = keras.applications.MobileNetV2((32, 32, 3), weights=None, include_top=False)
        >>> refuse_unusable(model)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: it is MobileNetV2 of keras.applications without ...
    """
    found, family = probe(backbone), known_family(backbone)
    if family is not None and found.gets_pixels:
        expected = preprocessed_colours(family.model)
        inside = np.allclose(expected, COLOURS)
        takes = "scaled values" if inside else _range(expected)
        raise MiteError(
            f"it is {family.name} of keras.applications without its preprocessing: it takes "
            f"{takes} and would get pixels in 0-255. Write one with it inside, "
            "`mite backbone --from FILE --out NEW.keras`, and name that; or, if it was trained on "
            "0-255, set backbone.check to false."
        )


def backbone_warnings(backbone: keras.Model | None) -> list[str]:
    """Returns a sentence for each thing about a backbone that is rarely meant so.

    These are class scores in place of features, pixels that reach the first convolution in another
    range than its family, or most networks, were trained on, and weights that were never trained.

    Example:
        >>> from mite_tf.models import small_cnn
        >>> backbone_warnings(small_cnn(image_size=32, width=8))
        ['The backbone has random weights: nothing has trained them.']
    """
    if backbone is None:
        return []
    try:
        found = probe(backbone)
    except MiteError as error:
        sentences = [f"The backbone cannot be used: {error}"]
    else:
        sentences = _about_colours(found, known_family(backbone))
        sentences += _about_scores(backbone, found.features)
    if is_untrained(backbone):
        sentences.append("The backbone has random weights: nothing has trained them.")
    return sentences


def is_untrained(backbone: keras.Model) -> bool:
    """Returns whether all biases and moving averages are still the zeros they start as.

    Example:
        >>> is_untrained(keras.applications.MobileNet(weights=None))
        True
    """
    values = [weight for weight in backbone.weights if weight.name in _INITIALLY_ZERO]
    return bool(values) and not any(np.any(np.asarray(value)) for value in values)


def known_family(backbone: keras.Model) -> Family | None:
    """Returns the family of `keras.applications` that a model is of, by the names of its layers.

    Example:
        >>> from mite_tf.models import application_backbone
        >>> known_family(application_backbone("VGG16", image_size=32, weights=None)).name
        'VGG'
    """
    return family_of({layer.name for layer in leaves(backbone)})


def gives_scores(backbone: keras.Model, features: np.ndarray) -> str | None:
    """Says what features are if they look like the scores of classes; None otherwise.

    Example:
        >>> model = keras.applications.MobileNet(weights=None)
        >>> gives_scores(model, np.full((2, 1000), 1e-3))
        'a soft-max over 1,000 classes'
    """
    if features.ndim != 2 or features.shape[1] < 2:
        return None
    classes = f"{features.shape[1]:,} classes"
    if features.min() >= 0 and np.allclose(features.sum(axis=1), 1, atol=1e-2):
        return f"a soft-max over {classes}"
    last = leaves(backbone)[-1]
    if "sigmoid" in str(getattr(last, "activation", "")):
        return f"sigmoids over {classes}"
    named = last.name == "predictions"  # so `keras.applications` calls its classifier
    if isinstance(last, keras.layers.Dense) and (named or features.shape[1] in _CLASSES):
        return f"the logits of {classes}"
    return None


def leaves(model: Any) -> list[keras.layers.Layer]:
    """Returns the layers of a model, and those of the models in it, in order.

    Example:
        >>> inner = keras.Sequential([keras.layers.Flatten()])
        >>> [layer.name for layer in leaves(keras.Sequential([inner]))]
        ['flatten...']
    """

    def inside(layer: Any) -> Iterator[keras.layers.Layer]:
        for each in getattr(layer, "layers", ()):
            if hasattr(each, "layers"):
                yield from inside(each)
            else:
                yield each

    return list(inside(model))


def _about_scores(backbone: keras.Model, features: np.ndarray) -> list[str]:
    scores = gives_scores(backbone, features)
    if scores is None:
        return []
    return [
        f"The backbone ends in {scores}, which take the place of features and tell far less; "
        "`mite backbone --from FILE --out NEW.keras` writes it without its classifier."
    ]


def _about_colours(found: Probe, family: Family | None) -> list[str]:
    if found.colours is None:
        return []
    got = f"The first convolution of the backbone gets {_range(found.colours)}"
    if found.gets_pixels:
        trained = "most networks were trained on smaller ones"
        if family is not None:
            trained = f"{family.name} was not trained on these"
        return [f"{got}, pixels as they are, and {trained}: is its preprocessing missing?"]
    if np.ptp(found.colours) < 0.1:
        return [f"{got}, nearly nothing of a picture: are pixels scaled twice?"]
    if family is None:
        return []
    expected = preprocessed_colours(family.model)
    far = np.abs(found.colours - expected).max() > 0.25 * np.ptp(expected)
    if np.allclose(expected, COLOURS) or not far:  # the former has its own scaling inside
        return []
    return [f"{got}, and {family.name} of keras.applications was trained on {_range(expected)}."]


def _range(colours: np.ndarray) -> str:
    return f"values from {colours.min():.3g} to {colours.max():.3g}"


def _watch(layer: Any, seen: list[np.ndarray]) -> None:
    """Keeps what the first of the watched layers is called with, if that has three channels."""
    call = layer.call

    def watched(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not seen:
            seen.append(np.asarray(inputs, np.float32))
        return call(inputs, *args, **kwargs)

    layer.call = watched


def _at_colours(pictures: np.ndarray) -> np.ndarray | None:
    """The middle of each field of the first picture `[2, H, W, 3]`."""
    if pictures.ndim != 4 or pictures.shape[-1] != 3:
        return None
    rows, columns = ((size // 4, size - 1 - size // 4) for size in pictures.shape[1:3])
    return np.array([pictures[0, row, column] for row in rows for column in columns])
