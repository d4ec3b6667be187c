"""What every backend is: signatures, rows that are checked the same way, and a call to come."""

from __future__ import annotations

import codecs
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.export.pixels import pixels_of, resized
from mite_tf.image_headers import MOST_PIXELS, Header, ImageFileError, header_of
from mite_tf.text.words import beginning, split_words

MODELS = ("image", "text")
MAX_IMAGE_PIXELS = MOST_PIXELS
# Below this, checking an input costs less than handing it to a thread: bytes of an array, of all
# texts, and of one; a caption of fifty words is shorter.
_LIGHT_ARRAY, _LIGHT_BYTES, _LONG = 1 << 20, 1 << 15, 512
_PIECE = 1 << 16  # bytes of a long text that are decoded at a time
# A file whose size does not show after so many parts is taken for the largest.
_FEW_STEPS = 64


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
    """Checked rows of one request, or of several, as an array or texts. Equal keys fit together.

    Token ids may stand for a text, where these took long.

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
        self.space = manifest.space
        self.export, self.created = manifest.name, manifest.created
        self.embedding_size = manifest.embedding_size
        # By how many of the first values of an embedding are taken, all of them last.
        sizes = (*manifest.nested_sizes, manifest.embedding_size)
        self.spaces = {size: manifest.first(size).space for size in sizes}
        described: Mapping[str, Any] = manifest.image if model == "image" else manifest.text
        self.signatures = {
            name: SignatureSpec(each["input"], each["dtype"], tuple(each["shape"]))
            for name, each in described["signatures"].items()
        }
        self._preprocessing = manifest.preprocessing or {}
        self._max_length: int = manifest.tokenizer["max_length"]
        self._vocabulary_size: int = manifest.tokenizer["vocabulary_size"]
        # A word of SentencePiece may have twice as many characters as one of word pieces.
        self._most_words = self._max_length * (1 + ("rules" in manifest.tokenizer))
        self._max_image_pixels = max_image_pixels

    @abstractmethod
    def run(self, rows: Rows) -> np.ndarray:
        """Embeds rows; returns float32 `[N, D]`, in their order."""

    def unknown(self, rows: Rows) -> list[int]:
        """Returns the numbers of the texts that hold no known word, where the backend can tell."""
        return []

    def words(self, rows: Rows) -> tuple[int, int]:
        """Returns how many tokens texts have, and how many of these stand for an unknown word.

        Zeros where the backend cannot tell.
        """
        return 0, 0

    def tokens(self, array: np.ndarray) -> int:
        """Returns how many tokens of texts, given as `bytes`, are read: words by default."""
        texts = self.prepare("serving_default", array).values
        return sum(min(len(split_words(text)), self._max_length) for text in texts)

    @abstractmethod
    def close(self) -> None:
        """Frees what is loaded; no call may follow."""

    def costs(self, signature: str, array: np.ndarray) -> list[int]:
        """Returns about how many pixels or bytes of each row, in right shape, `prepare` works on.

        The list is empty if it takes microseconds, so that a thread for it costs more.
        """
        given = self.signatures[signature].input
        if given == "image_bytes":
            return [_claimed(data) for data in array]
        if given == "pixels":
            return [math.prod(array.shape[1:3])] * len(array)
        if array.dtype != object:
            return [array[0].nbytes] * len(array) if array.nbytes > _LIGHT_ARRAY else []
        sizes = list(map(len, array))
        return sizes if max(sizes) > _LONG or sum(sizes) > _LIGHT_BYTES else []

    def size_of_row(self, signature: str) -> int:
        """Returns how many bytes a prepared image takes, or 0 for anything else."""
        if self.signatures[signature].input not in ("image_bytes", "pixels"):
            return 0
        return 12 * self._preprocessing["height"] * self._preprocessing["width"]

    def prepare(self, signature: str, array: np.ndarray, first: int = 0) -> Rows:
        """Checks the input of one request, of which strings are `bytes`; decodes its images.

        In place of a request it may be a part of it, whose `first` row has this number.

        Returns:
            Texts, cut where nothing counts any more, pixels float32 `[N, H, W, 3]` of the model's
            size, token ids int32 `[N, L]` with L of at least 1 and at most `max_length`, or
            features float32.

        Raises:
            MiteError: If this input cannot be used; says what to change.
        """
        wanted = self.signatures[signature]
        check_shape(wanted, array.shape)
        if wanted.dtype == "float32" and not np.isfinite(array).all():
            raise MiteError(f"{wanted.input}: hold NaN or infinity. Send finite numbers.")
        if wanted.input == "text":
            return Rows("text", [self._text(*each) for each in enumerate(array, first)])
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
            return Rows(
                "pixels", np.stack([self._decode(*each) for each in enumerate(array, first)])
            )
        if wanted.input == "pixels":
            return Rows("pixels", self._resize(array))
        return Rows(wanted.input, np.ascontiguousarray(array, np.float32))

    def _text(self, number: int, data: bytes) -> Any:
        if len(data) <= _LONG:
            try:
                return data.decode()
            except UnicodeDecodeError:
                pass  # it is told below
        pieces = _decoded(data)
        try:
            text = beginning(pieces, self._most_words)
            for _ in pieces:  # the rest has to be UTF-8, too
                pass
        except MiteError as error:
            raise MiteError(f"text[{number}]: {error}") from error
        return self._long_text(text)

    def _long_text(self, text: str) -> Any:
        """Returns what is to be done with a text that takes longer than others."""
        return text

    def _decode(self, number: int, data: bytes) -> np.ndarray:
        try:
            return pixels_of(data, self._preprocessing, self._max_image_pixels)
        except MiteError as error:
            raise MiteError(f"image_bytes[{number}]: {error}") from error

    def _resize(self, array: np.ndarray) -> np.ndarray:
        if 0 in array.shape:
            raise MiteError(f"pixels: of shape {list(array.shape)} hold no pixel.")
        height, width = array.shape[1:3]
        try:
            Header(width, height).check(self._max_image_pixels)
        except ImageFileError as error:
            raise MiteError(f"pixels: an image {error}.") from error
        size = (self._preprocessing["height"], self._preprocessing["width"])
        if (height, width) == size:
            return np.ascontiguousarray(array, np.float32)
        return np.stack([resized(pixels, size, self._preprocessing["resize"]) for pixels in array])


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
    pairs = zip(wanted.shape, shape, strict=False)
    others = [size for size, given in pairs if size is not None and size != given]
    if others or len(shape) != len(wanted.shape):
        expected = ",".join("?" if size is None else str(size) for size in wanted.shape)
        given = ",".join(map(str, shape))
        raise MiteError(f"{wanted.input}: of shape [{given}]; expected [{expected}].")
    if not shape[0]:
        raise MiteError(f"{wanted.input}: the batch is empty: send at least one row.")


def _claimed(data: bytes) -> int:
    try:
        return max(len(data), header_of(data, _FEW_STEPS).cost)
    except ImageFileError as error:
        return MAX_IMAGE_PIXELS if error.kind == "unsupported-type" else len(data)


def _decoded(data: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE):
        before = start - len(decoder.getstate()[0])
        try:
            yield decoder.decode(data[start : start + _PIECE], start + _PIECE >= len(data))
        except UnicodeDecodeError as error:
            place = before + error.start
            raise MiteError(
                f"not valid UTF-8 at byte {place} (0x{data[place]:02x}). Encode the text as UTF-8."
            ) from error
