"""Rows to requests that a server takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.rows import Row

# Names of model, signature and input, shape, and the lengths around them.
_ENVELOPE = 512


class Chunk(NamedTuple):
    """Rows of one request.

    Attributes:
        start: Number of its first row in the whole call.
        rows: The rows, all of one kind.
    """

    start: int
    rows: list[Row]

    @property
    def values(self) -> Any:
        """Lists of `bytes`, or array with the rows along its first axis."""
        values = [row.value for row in self.rows]
        return np.stack(values) if isinstance(values[0], np.ndarray) else values

    def part(self, begin: int, end: int) -> Chunk:
        """Returns some of the rows."""
        return Chunk(self.start + begin, self.rows[begin:end])


def chunked(rows: Iterable[Row], *, most: int, most_bytes: int) -> Iterator[Chunk]:
    """Puts rows that follow one another into requests.

    Args:
        rows: The rows, read as they are needed.
        most: Most rows of a request.
        most_bytes: Most bytes of a request.

    Raises:
        MiteError: If a row alone is too large.

    Example:
        >>> from mite_tf.serving.client.rows import text_rows
        >>> [(each.start, len(each.rows)) for each in
        ...  chunked(text_rows(["a", "b", "c"]), most=2, most_bytes=1024)]
        [(0, 2), (2, 1)]
    """
    chunk, size = Chunk(0, []), _ENVELOPE
    for number, row in enumerate(rows):
        if _ENVELOPE + row.size > most_bytes:
            raise MiteError(
                f"{row.label} takes {row.size} bytes; a request may have {most_bytes}. Give a "
                "smaller one, or raise max_message_bytes if the server takes larger requests."
            )
        full = len(chunk.rows) == most or size + row.size > most_bytes
        if chunk.rows and (full or chunk.rows[0].kind != row.kind):
            yield chunk
            chunk, size = Chunk(number, []), _ENVELOPE
        chunk.rows.append(row)
        size += row.size
    if chunk.rows:
        yield chunk
