"""Image files to pixels with NumPy and Pillow alone, as the graph does it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mite_tf.errors import MiteError

# What the graph reads. Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")


def pixels_of(data: bytes, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Decodes an image file and resizes it, as the manifest of an export says.

    The frame is squashed to the size. As in the graph, a rotation in EXIF is not applied,
    transparency is dropped, and of an animation the first frame counts. Two kinds of GIF differ:
    what is transparent has the colour of the palette here and is black in the graph, and a first
    frame smaller than the whole is padded here alone.

    Args:
        data: The bytes of a JPEG, PNG, GIF, BMP or WebP file.
        preprocessing: `height`, `width`, `resize` (`bilinear`) and `value_range` (0 to 255).

    Returns:
        float32 `[height, width, 3]` in 0-255, RGB; on average within 0.01 of the graph's.

    Raises:
        MiteError: If the bytes are no image, or the preprocessing is another one.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (60, 40), (255, 0, 0)).save(file, "PNG")
        >>> how = {"height": 2, "width": 2, "resize": "bilinear", "value_range": [0.0, 255.0]}
        >>> pixels_of(file.getvalue(), how)[0, 0].tolist()
        [255.0, 0.0, 0.0]
    """
    known = ("bilinear", [0.0, 255.0])
    if (preprocessing["resize"], list(preprocessing["value_range"])) != known:
        raise MiteError(f"This preprocessing is not known here: {dict(preprocessing)}.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            rgb = _rgb(image)
    except UnidentifiedImageError as error:
        raise MiteError(
            "The bytes cannot be decoded as an image: not a JPEG, PNG, GIF, BMP or WebP file."
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise MiteError(f"The bytes cannot be decoded as an image: {error}") from error
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


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
