"""What a server asks of whatever computes the embeddings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

MODELS = ("image", "text")


class Signature(NamedTuple):
    """One way to call a model, as the manifest names it; the output is always `embedding`.

    Attributes:
        input: Name of the only input.
        dtype: `string`, `float32`, `uint8` or `int32`.
        shape: Sizes; None for any.
    """

    input: str
    dtype: str
    shape: tuple[int | None, ...]


class Rows(NamedTuple):
    """Checked rows of one request, or of several that share a call.

    Attributes:
        key: Rows of equal keys may be put together.
        values: One entry a row: captions, or an array of pixels, ids or features.
    """

    key: Hashable
    values: Any

    def __len__(self) -> int:
        return len(self.values)


class Backend(Protocol):
    """One version of one model, ready to compute.

    Attributes:
        name: `image` or `text`.
        version: Version of the export.
        embedding_size: Size D of the embeddings.
        signatures: Ways to call it, by name.
    """

    name: str
    version: int
    embedding_size: int
    signatures: Mapping[str, Signature]

    def is_light(self, signature: str, array: np.ndarray) -> bool:
        """Returns whether `prepare` takes microseconds, so that a thread for it costs more."""

    def prepare(self, signature: str, array: np.ndarray) -> Rows:
        """Checks the input of one request, decodes and resizes its images.

        Args:
            signature: Name of a signature.
            array: Its input; strings are `bytes` with dtype `object`.

        Raises:
            MiteError: If this input cannot be used; says what to change.
        """

    def run(self, rows: Rows) -> np.ndarray:
        """Embeds rows; returns float32 `[N, D]`, in their order."""

    def close(self) -> None:
        """Frees what is loaded; no call may follow."""


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
