"""Guessing which file was meant by the name of one that is missing."""

import unicodedata
from contextlib import suppress
from functools import lru_cache
from pathlib import Path


def similar_file(path: Path) -> str | None:
    r"""Find a file whose name differs in case, in the form of its accents or in slashes only.

    Args:
        path: File that does not exist.

    Returns:
        How to write it, relative to the folder of `path`; `None` if nothing is similar.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "Café.JPG").touch()
        ...     similar_file(Path(folder) / "cafe\u0301.jpg")
        'Café.JPG'
    """
    with suppress(OSError, ValueError):
        slashed = path.name.replace("\\", "/")
        if slashed != path.name and (path.parent / slashed).exists():
            return slashed
        return _names(path.parent, path.parent.stat().st_mtime_ns).get(_fold(path.name))
    return None


@lru_cache(maxsize=8)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Lists a folder; `changed`, its time of change, keeps an old listing from being used."""
    return {_fold(entry.name): entry.name for entry in folder.iterdir()}


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
