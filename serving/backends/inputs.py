"""The input of one request, checked and made ready, the same for every backend."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.export.pixels import FORMATS, pixels_of, resized
from mite_tf.serving.backends.backend import Rows, Signature

# Beyond the largest cameras' pictures, and below what Pillow itself calls a bomb (89 megapixels):
# such a picture takes 192 MB as it is decoded.
MAX_IMAGE_PIXELS = 64_000_000
# Below this, checking costs less than handing it to a thread.
_LIGHT_BYTES = 1 << 15


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Makes rows of what a signature takes.

    Attributes:
        signatures: Ways to call the model, by name.
        preprocessing: Files to pixels, of the manifest; None without images.
        max_length: Token ids that count.
        max_image_pixels: Width times height beyond which an image is refused.
    """

    signatures: Mapping[str, Signature]
    preprocessing: Mapping[str, Any] | None
    max_length: int
    max_image_pixels: int = MAX_IMAGE_PIXELS

    def is_light(self, signature: str, array: np.ndarray) -> bool:
        """Returns whether `prepare` takes microseconds."""
        name = self.signatures[signature].input
        if name == "image_bytes" or name == "pixels":
            return False
        if array.dtype == object:
            return sum(map(len, array.flat)) < _LIGHT_BYTES
        return True

    def prepare(self, signature: str, array: np.ndarray) -> Rows:
        """Checks the input of one request, decodes and resizes its images.

        Args:
            signature: Name of a signature.
            array: Its input; strings are `bytes` with dtype `object`.

        Returns:
            Captions as `str`, pixels float32 `[N, H, W, 3]` of the model's size, token ids int32
            `[N, L]` with L of at least 1 and at most `max_length`, or features float32.

        Raises:
            MiteError: If this input cannot be used; says what to change.
        """
        wanted = self.signatures[signature]
        check_shape(wanted, array.shape)
        if wanted.input == "text":
            return Rows("text", [_caption(number, data) for number, data in enumerate(array)])
        if wanted.input == "token_ids":
            return self._ids(array)
        if wanted.input == "image_bytes":
            return Rows("pixels", np.stack([self._image(*each) for each in enumerate(array)]))
        if wanted.input == "pixels":
            return Rows("pixels", self._pixels(array))
        return Rows(wanted.input, np.ascontiguousarray(array, np.float32))

    def _ids(self, array: np.ndarray) -> Rows:
        ids = array[:, : self.max_length].astype(np.int32, copy=False)
        if not ids.shape[1]:
            ids = np.zeros((len(ids), 1), np.int32)
        return Rows(("token_ids", ids.shape[1]), ids)

    def _image(self, number: int, data: bytes) -> np.ndarray:
        assert self.preprocessing is not None
        try:
            check_image_size(data, self.max_image_pixels)
            return pixels_of(data, self.preprocessing)
        except MiteError as error:
            raise MiteError(f"image_bytes[{number}]: {error}") from error

    def _pixels(self, array: np.ndarray) -> np.ndarray:
        assert self.preprocessing is not None
        if 0 in array.shape:
            raise MiteError(f"pixels: of shape {list(array.shape)} hold no pixel.")
        if math.prod(array.shape[1:3]) > self.max_image_pixels:
            raise _too_large(array.shape[2], array.shape[1], self.max_image_pixels)
        size = (self.preprocessing["height"], self.preprocessing["width"])
        if array.shape[1:3] == size:
            return np.ascontiguousarray(array, np.float32)
        return np.stack([resized(pixels, size) for pixels in array])


def check_shape(wanted: Signature, shape: tuple[int, ...]) -> None:
    """Refuses a shape that a signature does not take, and no rows.

    Example:
        >>> check_shape(Signature("pixels", "float32", (None, None, None, 3)), (2, 8, 8, 1))
        Traceback (most recent call last):
        mite_tf.errors.MiteError: pixels: of shape [2,8,8,1]; expected [?,?,?,3].
    """
    fits = len(shape) == len(wanted.shape) and all(
        size is None or size == given for size, given in zip(wanted.shape, shape, strict=True)
    )
    if not fits:
        expected = ",".join("?" if size is None else str(size) for size in wanted.shape)
        given = ",".join(map(str, shape))
        raise MiteError(f"{wanted.input}: of shape [{given}]; expected [{expected}].")
    if not shape[0]:
        raise MiteError(f"{wanted.input}: the batch is empty: send at least one row.")


def check_image_size(data: bytes, max_pixels: int) -> None:
    """Refuses an image file of too many pixels by its header, before it is decoded.

    Raises:
        MiteError: If it is too large. What is no image is left for the decoder to refuse.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MiteError(f"The image is too large: {error}") from error
    except (OSError, ValueError, SyntaxError):
        return
    if width * height > max_pixels:
        raise _too_large(width, height, max_pixels)


def _too_large(width: int, height: int, limit: int) -> MiteError:
    return MiteError(
        f"The image has {width} × {height} pixels; at most {limit} are taken. Send a smaller one."
    )


def _caption(number: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MiteError(
            f"text[{number}]: not valid UTF-8 at byte {error.start} "
            f"(0x{data[error.start]:02x}). Encode the text as UTF-8."
        ) from error
