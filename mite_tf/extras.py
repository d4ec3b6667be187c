"""Packages that not everyone needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mite_tf.errors import MiteError


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Says how to install a package that an import in the block does not find.

    Args:
        extra: The extra that brings it.
        what: What needs it, to begin the message with.

    Raises:
        MiteError: If a package is not installed.

    Example:
        >>> with from_extra("umap", "The projection 'umap'"):
        ...     import umap_of_the_moon
        Traceback (most recent call last):
        mite_tf.errors.MiteError: The projection 'umap' needs umap_of_the_moon, ...
        Install with: pip install 'mite-tf[umap]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mite_tf"):
            raise
        raise MiteError(
            f"{what} needs {error.name}, which is not installed. Install with: "
            f"pip install 'mite-tf[{extra}]'"
        ) from error
