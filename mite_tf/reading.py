"""Files that are read: what cannot be used is one sentence, with the file and what to do."""

from __future__ import annotations

import errno
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mite_tf.errors import MiteError
from mite_tf.files import refuse_pointer

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

_LONGEST = 200  # of what a library says
# Of a file that may be sound.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE)


@contextmanager
def reading(path: str | Path, what: str, advice: str = "") -> Iterator[None]:
    """Makes whatever goes wrong with a file in the block one sentence about it.

    A pipe or a device is refused before the block, which would wait for it for ever.

    Args:
        path: The file that the block reads.
        what: What it should be, as in "a training state".
        advice: What to do if it is not.

    Raises:
        MiteError: In place of every other exception.

    Example:
        >>> with reading("run.json", "a record of a run", "Train anew."):
        ...     pass
        Traceback (most recent call last):
        mite_tf.errors.MiteError: run.json: not a record of a run: No such file or ...
    """
    try:
        must_be_file(path)
        refuse_pointer(path)
        yield
    except MiteError:
        raise
    except Exception as error:  # libraries raise errors of many kinds over a damaged file
        if isinstance(error, OSError) and error.errno in _REFUSED:
            raise MiteError(f"{path}: cannot be read: {os.strerror(error.errno)}.") from error
        told = f"{path}: not {what}: {_reason(error, path)}."
        raise MiteError(f"{told} {advice}".rstrip()) from error


def must_be_file(path: str | Path) -> None:
    """Refuses what is no regular file, or a link to one.

    Raises:
        OSError: If it is a folder, a pipe, a socket or a device, or cannot be looked at.

    Example:
        >>> must_be_file("/dev/null")
        Traceback (most recent call last):
        OSError: [Errno 22] It is a pipe, a socket or a device: '/dev/null'
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 (a name may hold what `Path` refuses)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is a pipe, a socket or a device", str(path))


def read_object(path: str | Path, what: str, advice: str = "") -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Raises:
        MiteError: If it is anything else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "run.json")
        >>> _ = file.write_text("[1]")
        >>> read_object(file, "a record of a run")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: ...: not a record of a run: it holds a list, no object.
    """
    with reading(path, what, advice):
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, no object")
    return value


def open_arrays(file: IO[bytes], *, compressed: bool = False) -> NpzFile:
    """Opens an `.npz` file of plain numbers and texts; each array is read when it is asked for.

    Args:
        file: The open file.
        compressed: Whether its arrays may be compressed; ours are not, so that no small file fills
            the memory.

    Raises:
        Exception: If it is none; libraries raise errors of many kinds.

    Example:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> np.savez(file, a=np.ones(2))
        >>> open_arrays(file)["a"].tolist()
        [1.0, 1.0]
    """
    import numpy as np

    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it holds two arrays of one name")
    if not compressed and any(member.compress_type for member in members):
        raise ValueError("its arrays are compressed, as nothing here writes them")
    file.seek(0)
    arrays: NpzFile = np.load(file, allow_pickle=False)
    return arrays


def _reason(error: Exception, path: str | Path) -> str:
    """Says in a few words, on one line, what an exception tells of a file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        if not os.stat(path).st_size:  # noqa: PTH116
            return "it is empty"
    except (OSError, ValueError):
        pass
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, KeyError):
        return f"it lacks {' '.join(map(str, error.args))}"
    words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"
