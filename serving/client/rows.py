"""What is to be embedded, one row at a time: checked, encoded, and named for errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import MiteError


class Kind(NamedTuple):
    """Rows of one kind may share a request.

    Attributes:
        signature: Name of the signature that takes them.
        input: Name of its input.
        shape: Shape of one row; None for bytes.
    """

    signature: str
    input: str
    shape: tuple[int, ...] | None = None


class Row(NamedTuple):
    """One caption, image or vector of features.

    Attributes:
        label: Names the row in errors, such as `images[3] (dog.jpg)`.
        kind: How it is sent.
        value: `bytes`, or an array.
    """

    label: str
    kind: Kind
    value: Any

    @property
    def size(self) -> int:
        """Bytes that the row takes in a message."""
        # Behind the tag of the field stands the length, in at most 5 bytes.
        return self.value.nbytes if isinstance(self.value, np.ndarray) else len(self.value) + 6


_TEXT = Kind("serving_default", "text")


def as_list(items: Any, name: str) -> list[Any]:
    """Returns a list of items, and refuses one that stands alone.

    Args:
        items: List, tuple, array with items along its first axis, or any other iterable.
        name: What the items are, for the error.

    Example:
        >>> as_list("a dog", "texts")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: texts is a single str; put it into a list.
    """
    if isinstance(items, str | bytes | bytearray | dict) or not hasattr(items, "__iter__"):
        raise MiteError(f"{name} is a single {type(items).__name__}; put it into a list.")
    return list(items)


def text_rows(texts: Sequence[str]) -> Iterator[Row]:
    """Yields captions in UTF-8.

    Raises:
        MiteError: If one is no text, or holds half of a surrogate pair.
    """
    for index, text in enumerate(texts):
        label = f"texts[{index}]"
        if not isinstance(text, str):
            raise MiteError(f"{label} is of type {type(text).__name__}; expected str.")
        try:
            yield Row(label, _TEXT, text.encode())
        except UnicodeEncodeError as error:
            raise MiteError(
                f"{label} cannot be written as UTF-8: character {error.start} is "
                f"{text[error.start]!r}, half of a surrogate pair."
            ) from error


def feature_rows(features: Any) -> Iterator[Row]:
    """Yields precomputed features, float32."""
    for index, each in enumerate(features):
        value = np.ascontiguousarray(each, np.float32)
        yield Row(f"features[{index}]", Kind("features", "features", value.shape), value)
