"""One writer in a folder at a time."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Self

from mite_tf.errors import MiteError
from mite_tf.files import locked, writing


class Alone(ExitStack):
    """Keeps other writers out of a folder, which need not be there yet.

    A lock beside the folder is held before there is one, and another inside, which those see too
    to whom the folder has another name.

    Args:
        path: The folder.
        what: Who writes, as in "training".

    Raises:
        MiteError: When it is entered, if another one writes there.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with Alone(folder, "training"), Alone(folder, "training"):
        ...     pass
        Traceback (most recent call last):
        mite_tf.errors.MiteError: ...: another training writes there. Wait for it, or name ...
    """

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.what = what
        self._locks = [beside(path, "lock"), self.path / ".lock"]

    def __enter__(self) -> Self:
        try:
            self.hold()
        except BaseException:
            self.close()
            raise
        return self

    def hold(self) -> None:
        """Takes the locks that can be there by now; called again when the folder has been made."""
        for lock in list(self._locks):
            inside = lock.parent == self.path
            if not lock.parent.is_dir() or (inside and not any(self.path.iterdir())):
                continue  # an empty folder is still to be replaced
            # A folder may be ours though what it lies in is not, as one mounted in a container.
            if inside or os.access(lock.parent, os.W_OK):
                with writing(self.path, draft=lock):
                    self.enter_context(locked(lock, busy=self._refuse))
            self._locks.remove(lock)

    def _refuse(self) -> NoReturn:
        raise MiteError(
            f"{self.path}: another {self.what} writes there. Wait for it, or name another folder."
        )


def beside(path: str | Path, suffix: str) -> Path:
    """Returns a hidden name beside a folder, for what belongs to it.

    Example:
        >>> beside("/runs/first", "draft").name
        '.first.draft'
    """
    place = Path(os.path.realpath(path))
    return place.parent / f".{place.name}.{suffix}"
