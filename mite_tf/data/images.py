"""Image files to pixels: one preprocessing specification, used by training, search and export."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from mite_tf.data.decode import decode_image
from mite_tf.data.upright import lying_box, orientation_of, turn_upright, turned_shape
from mite_tf.errors import MiteError
from mite_tf.image_files import decode
from mite_tf.image_headers import ImageFileError
from mite_tf.reading import must_be_file


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the pixels that a backbone sees; data that lies beside the weights.

    Backbones rescale values themselves, so pixels are RGB in 0-255 here. The whole frame is
    squashed to the size, because a caption may speak of what stands at the border.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        resize: Interpolation, `bilinear` or `bicubic`, antialiased when shrinking.
        value_range: Lowest and highest pixel value.
        orientation: Whether an image is turned upright as its EXIF says (`exif`), or the
            orientation in it is `ignored`.
    """

    height: int
    width: int
    resize: str = "bilinear"
    value_range: tuple[float, float] = (0.0, 255.0)
    orientation: Literal["exif", "ignored"] = "exif"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Returns the specification that `to_dict` described.

        One without an orientation is of a time when it was ignored.
        """
        values = {"orientation": "ignored", **values, "value_range": tuple(values["value_range"])}
        return cls(**values)


def preprocess(
    image: tf.Tensor, specification: Preprocessing, orientation: tf.Tensor | None = None
) -> tf.Tensor:
    """Resizes a decoded image `[H, W, 3]`, or a batch, to float32 `[height, width, 3]` in 0-255.

    One image is turned upright, too, if its orientation is given.
    """
    shape = (specification.height, specification.width, 3)
    size: tf.Tensor | tuple[int, ...] = shape[:2]
    if orientation is not None and shape[0] != shape[1]:
        size = turned_shape(tf.constant(shape), orientation)[:2]
    pixels = tf.image.resize(image, size, method=specification.resize, antialias=True)
    if specification.resize != "bilinear":  # cubic lines overshoot
        pixels = tf.clip_by_value(pixels, *specification.value_range)
    if orientation is not None:  # of the few pixels that are left
        pixels = turn_upright(pixels, orientation)
    return tf.ensure_shape(pixels, (*image.shape[:-3], *shape))


def lying_image(
    data: tf.Tensor, specification: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Decodes an image file, and returns its orientation unless that is to be ignored.

    The image, uint8 `[H, W, 3]`, is as it lies in the file: `preprocess` and `augment` turn it when
    it is small, which a large picture would take longer for than for all else.
    """
    image = decode_image(data, "ignored")
    return image, orientation_of(data) if specification.orientation == "exif" else None


def pixels_of(data: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Decodes, resizes and turns one image file, to float32 `[height, width, 3]` in 0-255."""
    image, orientation = lying_image(data, specification)
    return preprocess(image, specification, orientation)


def load_image(path: tf.Tensor, specification: Preprocessing) -> tf.Tensor:
    """Reads one image file, and does what `pixels_of` does."""
    return pixels_of(tf.io.read_file(path), specification)


@contextmanager
def naming_bad_images(paths: Sequence[str | Path]) -> Iterator[None]:
    """Names the image, of those that are read in a block, at which TensorFlow failed.

    Raises:
        MiteError: In place of TensorFlow's error, if one of the files cannot be read or decoded.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for path in paths:
            if reason := _fault(path):
                raise MiteError(
                    f"{path} cannot be {reason}; `mite data check` finds all such files."
                ) from error
        raise


def _fault(path: str | Path) -> str | None:
    try:
        must_be_file(path)
        decode_image(tf.io.read_file(os.fsencode(path)))
    except OSError as error:
        return f"read: {error.strerror}"
    except tf.errors.OpError:
        try:
            decode(Path(path).read_bytes())
        except OSError as error:
            return f"read: {error.strerror}"
        except ImageFileError as error:
            return f"decoded: it {error}"
        return "decoded by TensorFlow: convert it to PNG"
    return None


def augment(
    image: tf.Tensor,
    specification: Preprocessing,
    seed: tf.Tensor,
    orientation: tf.Tensor | None = None,
    *,
    smallest_crop: float,
    flip: bool = True,
) -> tf.Tensor:
    """Returns a random view of an image `[H, W, 3]`: part of the frame, perhaps mirrored.

    A crop keeps at least `smallest_crop` of the area, in (0, 1]. The same `seed`, two integers,
    gives the same view. It is turned upright, if an orientation is given.
    """
    if smallest_crop < 1:
        shape = tf.shape(image)
        if orientation is not None:
            shape = turned_shape(shape, orientation)
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            bounding_boxes=tf.zeros((1, 0, 4)),
            seed=seed,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(smallest_crop, 1.0),
            use_image_if_no_bounding_boxes=True,
        )
        if orientation is not None:
            begin, size = lying_box(begin, size, shape, orientation)
        image = tf.ensure_shape(tf.slice(image, begin, size), (None, None, 3))
    pixels = preprocess(image, specification, orientation)
    return tf.image.stateless_random_flip_left_right(pixels, seed) if flip else pixels
