"""Image files to pixels with NumPy and Pillow alone, as the graph does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.image_files import ImageFileError, decode
from mite_tf.orientation import orientation_of, upright


def pixels_of(data: bytes, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Decodes an image file and resizes it, as the manifest of an export says.

    The image is turned upright, unless its orientation is to be ignored, and squashed to the size.
    What the graph refuses is refused here, too.

    Args:
        data: The bytes of a JPEG, PNG, GIF, BMP or WebP file.
        preprocessing: `height`, `width`, `resize` (`bilinear`), `value_range` (0 to 255) and
            `orientation` (`exif` or `ignored`, which it was before there was such an entry).

    Returns:
        float32 `[height, width, 3]` in 0-255, RGB; on average within 0.01 of the graph's.

    Raises:
        MiteError: If the bytes are no image, or the preprocessing is another one.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (60, 40), (255, 0, 0)).save(file, "PNG")
        >>> how = {"height": 2, "width": 2, "resize": "bilinear", "value_range": [0.0, 255.0]}
        >>> pixels_of(file.getvalue(), how)[0, 0].tolist()
        [255.0, 0.0, 0.0]
    """
    known = ("bilinear", [0.0, 255.0])
    orientation = preprocessing.get("orientation", "ignored")
    if (preprocessing["resize"], list(preprocessing["value_range"])) != known or (
        orientation not in ("exif", "ignored")
    ):
        raise MiteError(f"This preprocessing is not known here: {dict(preprocessing)}.")
    try:
        rgb = decode(data)
    except ImageFileError as error:
        raise MiteError(f"The bytes cannot be decoded as an image: the file {error}.") from error
    if orientation == "exif":
        rgb = upright(rgb, orientation_of(data))
    return resized(rgb, (preprocessing["height"], preprocessing["width"]))


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes pixels `[H, W, 3]` in 0-255 of any type, as the graph does: bilinear, antialiased.

    Example:
        >>> resized(np.full((4, 4, 3), 7, np.uint8), (1, 2)).tolist()
        [[[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]]
    """
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels, np.float32)
    # Each channel in floating point: Pillow rounds an 8-bit result to whole numbers.
    channels = [
        Image.fromarray(np.ascontiguousarray(pixels[:, :, number], np.float32)).resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        for number in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)
