"""Image files to pixels with NumPy and Pillow alone, as the graph does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.image_files import open_picture
from mite_tf.image_headers import MOST_PIXELS, ImageFileError
from mite_tf.orientation import orientation_of, upright

_STRIP = 1 << 18  # pixels that are resized at a time


def pixels_of(
    data: bytes, preprocessing: Mapping[str, Any], most_pixels: int = MOST_PIXELS
) -> np.ndarray:
    """Decodes an image file and resizes it, as the manifest of an export says.

    The image is turned upright, unless its orientation is to be ignored, and squashed to the size.
    What the graph refuses is refused here, too, and so is what is larger than a photograph.

    Args:
        data: The bytes of a JPEG, PNG, GIF, BMP or WebP file.
        preprocessing: `height`, `width`, `resize` (`bilinear` or `bicubic`), `value_range` (0 to
            255) and `orientation` (`exif` or `ignored`, which it was before there was one).
        most_pixels: Pixels beyond which an image is refused, by its header.

    Returns:
        float32 `[height, width, 3]` in 0-255, RGB; on average within 0.01 of the graph's.

    Raises:
        MiteError: If the bytes are no image or a gigantic one, or the preprocessing is another.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (60, 40), (255, 0, 0)).save(file, "PNG")
        >>> how = {"height": 2, "width": 2, "resize": "bilinear", "value_range": [0.0, 255.0]}
        >>> pixels_of(file.getvalue(), how)[0, 0].tolist()
        [255.0, 0.0, 0.0]
    """
    resize, orientation = preprocessing["resize"], preprocessing.get("orientation", "ignored")
    if list(preprocessing["value_range"]) != [0.0, 255.0] or not (
        resize in ("bilinear", "bicubic") and orientation in ("exif", "ignored")
    ):
        raise MiteError(f"This preprocessing is not known here: {dict(preprocessing)}.")
    size = (preprocessing["height"], preprocessing["width"])
    turn = orientation_of(data) if orientation == "exif" else 1
    try:
        height, width, rows = open_picture(data, most_pixels)
    except ImageFileError as error:
        raise MiteError(f"The bytes cannot be decoded as an image: the file {error}.") from error
    # Turned last, as there are few pixels left then.
    lying = _resized(rows, (height, width), size[::-1] if turn >= 5 else size, resize)
    return np.ascontiguousarray(upright(lying, turn))


def resized(pixels: np.ndarray, size: tuple[int, int], resize: str = "bilinear") -> np.ndarray:
    """Resizes pixels `[H, W, 3]` in 0-255 of any type as the graph does, antialiased.

    Example:
        >>> resized(np.full((4, 4, 3), 7, np.uint8), (1, 2)).tolist()
        [[[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]]
    """
    return _resized(lambda first, last: pixels[first:last], pixels.shape[:2], size, resize)


def _resized(
    rows: Callable[[int, int], np.ndarray],
    shape: tuple[int, ...],
    size: tuple[int, int],
    resize: str,
) -> np.ndarray:
    """Resizes across, a strip of rows at a time, and then down: memory for few rows suffices."""
    height, width = shape
    if shape == size:
        return np.ascontiguousarray(rows(0, height), np.float32)
    if width < size[1] and height > size[0]:  # else every row would grow before most are dropped
        lying = rows(0, height).swapaxes(0, 1)
        return resized(lying, size[::-1], resize).swapaxes(0, 1)
    narrow = np.empty((3, height, size[1]), np.float32)
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        strip = rows(top, min(top + step, height))
        for number in range(3):
            narrow[number, top : top + step] = _channel(
                strip[:, :, number], (len(strip), size[1]), resize
            )
    found = np.stack([_channel(each, size, resize) for each in narrow], axis=-1)
    return found if resize == "bilinear" else found.clip(0, 255)  # cubic lines overshoot


def _channel(values: np.ndarray, size: tuple[int, int], resize: str) -> np.ndarray:
    # In floating point: Pillow rounds an 8-bit result to whole numbers.
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling[resize.upper()]))
