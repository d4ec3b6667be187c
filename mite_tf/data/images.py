"""Image files to pixels: one preprocessing specification, used by training, search and export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the pixels that a backbone sees; data that lies beside the weights.

    Backbones rescale values themselves, so pixels are RGB in 0-255 here. The whole frame is
    squashed to the size, because a caption may speak of what stands at the border.

    Args:
        height: Height of the result, in pixels.
        width: Width of the result, in pixels.
        resize: Interpolation: `bilinear`, antialiased when shrinking.
        value_range: Lowest and highest pixel value.

    Example:
    >>> Preprocessing(224, 224).to_dict()["resize"]
    'bilinear'
    """

    height: int
    width: int
    resize: str = "bilinear"
    value_range: tuple[float, float] = (0.0, 255.0)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Returns the specification that `to_dict` described."""
        return cls(**{**values, "value_range": tuple(values["value_range"])})


def decode_image(data: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG, PNG, GIF, BMP or WebP file inside the graph.

    JPEGs are decoded with the accurate DCT, which agrees with Pillow to the bit; TensorFlow's
    default is up to 15 grey levels away. An EXIF rotation is not applied, here or when serving.

    Args:
        data: scalar string tensor, the bytes of the file.

    Returns:
        uint8 tensor `[H, W, 3]`, RGB.
    """
    import tensorflow as tf

    def is_webp() -> tf.Tensor:
        return tf.logical_and(
            tf.strings.substr(data, 0, 4) == b"RIFF", tf.strings.substr(data, 8, 4) == b"WEBP"
        )

    def accurate() -> tf.Tensor:
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")

    def general() -> tf.Tensor:
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    is_bmp = tf.strings.substr(data, 0, 2) == b"BM"
    long_enough = tf.strings.length(data) >= 12
    other = tf.logical_and(long_enough, tf.cond(long_enough, is_webp, lambda: False))
    return tf.ensure_shape(
        tf.cond(tf.logical_or(is_bmp, other), general, accurate), (None, None, 3)
    )


def preprocess(image: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Resizes a decoded image as the specification says.

    Args:
        image: uint8 or float tensor `[H, W, 3]` (or a batch `[N, H, W, 3]`) in 0-255.
        specification: Target size and interpolation.

    Returns:
        float32 tensor `[height, width, 3]` (or a batch), in 0-255.
    """
    import tensorflow as tf

    size = (specification.height, specification.width)
    pixels = tf.image.resize(image, size, method=specification.resize, antialias=True)
    return tf.ensure_shape(pixels, (*image.shape[:-3], *size, 3))


def load_image(path: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Reads, decodes and resizes one image file; float32 `[height, width, 3]` in 0-255."""
    import tensorflow as tf

    return preprocess(decode_image(tf.io.read_file(path)), specification)


def augment(
    image: tf.Tensor,
    specification: Preprocessing,
    seed: tf.Tensor,
    *,
    smallest_crop: float,
    flip: bool = True,
) -> tf.Tensor:
    """Returns a random view of an image: part of the frame, perhaps mirrored.

    Args:
        image: uint8 or float tensor `[H, W, 3]` in 0-255.
        specification: Target size and interpolation.
        seed: int tensor `[2]`; the same seed gives the same view.
        smallest_crop: Smallest share of the area that a crop keeps, in (0, 1]; 1 keeps all.
        flip: Whether to mirror half of the views.

    Returns:
        float32 tensor `[height, width, 3]` in 0-255.
    """
    import tensorflow as tf

    if smallest_crop < 1:
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(image),
            bounding_boxes=tf.zeros((1, 0, 4)),
            seed=seed,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(smallest_crop, 1.0),
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.ensure_shape(tf.slice(image, begin, size), (None, None, 3))
    pixels = preprocess(image, specification)
    return tf.image.stateless_random_flip_left_right(pixels, seed) if flip else pixels
