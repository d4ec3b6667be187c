"""Image files to pixels: one preprocessing specification, used by training, search and export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

# Flags in the header of a WebP file.
_ANIMATED, _TRANSPARENT = 0x02, 0x10


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the pixels that a backbone sees; data that lies beside the weights.

    Backbones rescale values themselves, so pixels are RGB in 0-255 here. The whole frame is
    squashed to the size, because a caption may speak of what stands at the border.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        resize: Interpolation, antialiased when shrinking.
        value_range: Lowest and highest pixel value.
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

    JPEGs are decoded with the accurate DCT; TensorFlow's default is up to 15 grey levels away. An
    EXIF rotation is not applied, here or when serving. Transparency is dropped, of an animation
    the first frame counts. Files of 8 bits a channel give the same bits as with Pillow, but for two
    kinds of GIF: what is transparent is black here, where Pillow takes the colour of the palette,
    and a first frame smaller than the whole stays so, where Pillow pads it.

    Returns:
        uint8 tensor `[H, W, 3]`, RGB.
    """
    head = tf.io.decode_raw(data, tf.uint8, fixed_length=25)  # zeros behind a shorter file

    def holds(text: bytes, place: int = 0) -> tf.Tensor:
        return tf.reduce_all(head[place : place + len(text)] == list(text))

    def general() -> tf.Tensor:
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    image = tf.case(
        [
            (holds(b"RIFF") & holds(b"WEBP", 8), lambda: _decode_webp(data, head, holds)),
            (holds(b"GIF8") | holds(b"BM"), general),
        ],
        default=lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _decode_webp(data: tf.Tensor, head: tf.Tensor, holds: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Decodes a WebP file; the operation takes the number of channels of the file and no other."""

    # To ask for "as many as there are" is not safe: of an animation without transparency the
    # operation (TensorFlow 2.21) writes four channels into memory for three.
    def decoded(file: tf.Tensor, channels: int) -> tf.Tensor:
        return tf.io.decode_image(file, channels=channels, expand_animations=False)[..., :3]

    def animation() -> tf.Tensor:
        # Every animation decodes to four channels, so its header is made to say so.
        transparent = tf.constant([bytes([value | _TRANSPARENT]) for value in range(256)])
        flags = transparent[tf.cast(head[20], tf.int32)]
        rest = tf.strings.substr(data, 21, tf.strings.length(data))
        return decoded(tf.strings.join([tf.strings.substr(data, 0, 20), flags, rest]), 4)

    extended, lossless = holds(b"VP8X", 12), holds(b"VP8L", 12)
    flags = tf.where(extended, head[20], tf.where(lossless, head[24], tf.zeros_like(head[0])))
    return tf.case(
        [
            (extended & (flags & _ANIMATED > 0), animation),
            (flags & _TRANSPARENT > 0, lambda: decoded(data, 4)),
        ],
        default=lambda: decoded(data, 3),
    )


def preprocess(image: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Resizes a decoded image `[H, W, 3]`, or a batch, to float32 `[height, width, 3]` in 0-255."""
    size = (specification.height, specification.width)
    pixels = tf.image.resize(image, size, method=specification.resize, antialias=True)
    return tf.ensure_shape(pixels, (*image.shape[:-3], *size, 3))


def load_image(path: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Reads, decodes and resizes one image file."""
    return preprocess(decode_image(tf.io.read_file(path)), specification)


def augment(
    image: tf.Tensor,
    specification: Preprocessing,
    seed: tf.Tensor,
    *,
    smallest_crop: float,
    flip: bool = True,
) -> tf.Tensor:
    """Returns a random view of an image `[H, W, 3]`: part of the frame, perhaps mirrored.

    A crop keeps at least `smallest_crop` of the area, in (0, 1]. The same `seed`, two integers,
    gives the same view.
    """
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
