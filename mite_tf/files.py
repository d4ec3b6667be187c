"""Files: written whole or not at all, and those that are nobody's data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mite_tf.errors import MiteError

GIT_LFS = "a Git LFS pointer, not the file itself: run `git lfs pull`"
_POINTER = b"version https://git-lfs"
_OF_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}


@contextmanager
def written_beside(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path`, which takes its place when the block succeeds.

    Args:
        path: The file to write; missing folders are made.
        mode: `w` for UTF-8 text, `wb` for bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_beside(Path(folder, "a.txt")) as file:
        ...         _ = file.write("whole")
        ...     Path(folder, "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(
            mode, encoding=encoding, newline=None if encoding is None else ""
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all."""
    with written_beside(path) as file:
        file.write(text)


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name was put there by a program, and is no data.

    So are names that start with `.` (editors, macOS, notebooks) or `~$` (locks of Office), and
    folders that archives, disks and Synology's photo station add.

    Example:
        >>> [is_hidden(name) for name in ("._a.jpg", "~$captions.csv", "__MACOSX", "a.jpg")]
        [True, True, True, False]
    """
    return name.startswith((".", "~$")) or name in _OF_SYSTEMS


def is_pointer(content: bytes) -> bool:
    """Returns whether a file starts as one that Git LFS left in place of a large file."""
    return content.startswith(_POINTER)


def refuse_pointer(path: str | Path) -> None:
    """Raises a `MiteError` if a file is there, but as a Git LFS pointer only."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError:
        return
    if is_pointer(start):
        raise MiteError(f"{path} is {GIT_LFS}.")
