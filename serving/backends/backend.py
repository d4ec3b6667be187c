"""What every backend is: signatures, rows that are checked the same way, and a call to come."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.export.pixels import pixels_of, resized
from mite_tf.image_files import FORMATS

MODELS = ("image", "text")
# More than the largest cameras give, and less than what Pillow calls a bomb (89 megapixels):
# decoding such an image takes 192 MB.
MAX_IMAGE_PIXELS = 64_000_000
# Below this, checking an input costs less than handing it to a thread.
_LIGHT_BYTES = 1 << 15


class SignatureSpec(NamedTuple):
    """The only input of a way to call a model, as the manifest names it; sizes of None are free.

    Example:
        >>> SignatureSpec("pixels", "float32", (None, None, None, 3)).input
        'pixels'
    """

    input: str
    dtype: str
    shape: tuple[int | None, ...]


class Rows(NamedTuple):
    """Checked rows of one request, or of several: texts, or an array. Equal keys fit together.

    Example:
        >>> len(Rows("text", ["a dog", "a cat"]))
        2
    """

    key: Hashable
    values: Any

    def __len__(self) -> int:
        return len(self.values)


# no example: abstract; `open_backend` returns one that computes.
class Backend(ABC):
    """One version of one encoder, ready to compute; arguments as of `open_backend`."""

    def __init__(self, manifest: Manifest, model: str, max_image_pixels: int) -> None:
        self.name = model
        self.version = manifest.version
        self.embedding_size = manifest.embedding_size
        described: Mapping[str, Any] = manifest.image if model == "image" else manifest.text
        self.signatures = {
            name: SignatureSpec(each["input"], each["dtype"], tuple(each["shape"]))
            for name, each in described["signatures"].items()
        }
        self._preprocessing = manifest.preprocessing or {}
        self._max_length: int = manifest.tokenizer["max_length"]
        self._vocabulary_size: int = manifest.tokenizer["vocabulary_size"]
        self._max_image_pixels = max_image_pixels

    @abstractmethod
    def run(self, rows: Rows) -> np.ndarray:
        """Embeds rows; returns float32 `[N, D]`, in their order."""

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Returns those of the texts that hold no known word, where the backend can tell."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Frees what is loaded; no call may follow."""

    def is_light(self, signature: str, array: np.ndarray) -> bool:
        """Returns whether `prepare` takes microseconds, so that a thread for it costs more."""
        if self.signatures[signature].input in ("image_bytes", "pixels"):
            return False
        return array.dtype != object or sum(map(len, array.flat)) < _LIGHT_BYTES

    def prepare(self, signature: str, array: np.ndarray) -> Rows:
        """Checks the input of one request, of which strings are `bytes`; decodes its images.

        Returns:
            Texts as `str`, pixels float32 `[N, H, W, 3]` of the model's size, token ids int32
            `[N, L]` with L of at least 1 and at most `max_length`, or features float32.

        Raises:
            MiteError: If this input cannot be used; says what to change.
        """
        wanted = self.signatures[signature]
        check_shape(wanted, array.shape)
        if wanted.dtype == "float32" and not np.isfinite(array).all():
            raise MiteError(f"{wanted.input}: hold NaN or infinity. Send finite numbers.")
        if wanted.input == "text":
            return Rows("text", [_text(number, data) for number, data in enumerate(array)])
        if wanted.input == "token_ids":
            if array.size and not 0 <= array.min() <= array.max() < self._vocabulary_size:
                raise MiteError(
                    f"token_ids: hold {array.min()} to {array.max()}; ids are 0 to "
                    f"{self._vocabulary_size - 1}."
                )
            ids = array[:, : self._max_length].astype(np.int32, copy=False)
            if not ids.shape[1]:
                ids = np.zeros((len(ids), 1), np.int32)
            return Rows(("token_ids", ids.shape[1]), ids)
        if wanted.input == "image_bytes":
            return Rows("pixels", np.stack([self._decode(*each) for each in enumerate(array)]))
        if wanted.input == "pixels":
            return Rows("pixels", self._resize(array))
        return Rows(wanted.input, np.ascontiguousarray(array, np.float32))

    def _decode(self, number: int, data: bytes) -> np.ndarray:
        try:
            _check_image_size(data, self._max_image_pixels)
            return pixels_of(data, self._preprocessing)
        except MiteError as error:
            raise MiteError(f"image_bytes[{number}]: {error}") from error

    def _resize(self, array: np.ndarray) -> np.ndarray:
        if 0 in array.shape:
            raise MiteError(f"pixels: of shape {list(array.shape)} hold no pixel.")
        height, width = array.shape[1:3]
        if height * width > self._max_image_pixels:
            raise _too_large(width, height, self._max_image_pixels)
        size = (self._preprocessing["height"], self._preprocessing["width"])
        if (height, width) == size:
            return np.ascontiguousarray(array, np.float32)
        return np.stack([resized(pixels, size) for pixels in array])


def together(parts: Sequence[Rows]) -> Rows:
    """Puts rows of equal keys together, in order.

    Example:
        >>> together([Rows("text", ["a"]), Rows("text", ["b", "c"])]).values
        ['a', 'b', 'c']
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first.values, np.ndarray):
        return Rows(first.key, np.concatenate([part.values for part in parts]))
    return Rows(first.key, [row for part in parts for row in part.values])


def check_shape(wanted: SignatureSpec, shape: tuple[int, ...]) -> None:
    """Refuses a shape that is not that of a signature, or has no row.

    Example:
        >>> check_shape(SignatureSpec("pixels", "float32", (None, None, None, 3)), (1, 2, 2, 4))
        Traceback (most recent call last):
        mite_tf.errors.MiteError: pixels: of shape [1,2,2,4]; expected [?,?,?,3].
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


def _check_image_size(data: bytes, max_pixels: int) -> None:
    """Refuses an image of too many pixels by its header, before it is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MiteError(f"The image is too large: {error}") from error
    except (OSError, ValueError, SyntaxError):
        return  # no image: the decoder says why
    if width * height > max_pixels:
        raise _too_large(width, height, max_pixels)


def _too_large(width: int, height: int, limit: int) -> MiteError:
    return MiteError(
        f"The image has {width} × {height} pixels; at most {limit} are taken. Send a smaller one."
    )


def _text(number: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MiteError(
            f"text[{number}]: not valid UTF-8 at byte {error.start} "
            f"(0x{data[error.start]:02x}). Encode the text as UTF-8."
        ) from error
