"""Files: written whole or not at all, locked, named in errors of the disk, and no data."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mite_tf.errors import MiteError

try:
    import fcntl
except ImportError:  # Windows, where nothing here is locked
    fcntl = None  # type: ignore[assignment]

GIT_LFS = "a Git LFS pointer, not the file itself: run `git lfs pull`"
_POINTER = b"version https://git-lfs"
_OF_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
# What a disk refuses; libraries tell these in words of their own exceptions.
_REFUSALS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ESTALE, errno.EMFILE,
)  # fmt: skip


@contextmanager
def written_beside(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside `path`, which takes its place when the block succeeds.

    A link stays one: what it leads to is replaced. Devices and pipes are written as they are. Who
    writes the same file at the same time waits. What a killed process leaves is one hidden file,
    which the next to write the same file makes use of.

    Args:
        path: The file to write; missing folders are made.
        mode: `w` for UTF-8 text, `wb` for bytes. Text takes half a surrogate pair, as in a file
            name that is no UTF-8, as an escape, which JSON reads back.

    Raises:
        OSError: If it cannot be written; `filename` is `path`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_beside(Path(folder, "a.txt")) as file:
        ...         _ = file.write("whole")
        ...     Path(folder, "a.txt").read_text()
        'whole'
    """
    path, target = Path(path), Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = target.with_name(f".{target.name}.tmp")
    options: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    options = {} if "b" in mode else options
    with writing(path, draft=temporary):
        if path.exists() and (not path.is_file() or path.parent == Path("/dev")):
            with path.open(mode, **options) as file:
                yield file
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(_held(temporary), mode, **options) as file:
            try:
                os.ftruncate(file.fileno(), 0)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is None:
                    file.close()  # Windows renames no open file
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


@contextmanager
def locked(path: str | Path, *, busy: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Holds a lock, which is a file of this path while it is held.

    The system gives the lock back when the process ends, however it ends; then the file stays, and
    the next to lock it makes use of it. Where the file system knows no locks, nothing is held.

    Args:
        path: The file, in a folder that exists.
        busy: Called once if another process or thread holds the lock, before waiting for it. What
            it raises is raised, without waiting.

    Raises:
        OSError: If the file cannot be made.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with locked(f"{folder.name}/lock"):
        ...     try:
        ...         with locked(f"{folder.name}/lock", busy=lambda: 1 / 0):
        ...             print("never here")
        ...     except ZeroDivisionError:
        ...         print("held by another")
        held by another
        >>> folder.cleanup()
    """
    path = Path(path)
    held = _held(path, busy)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is given back: who waits for it makes a new one
        os.close(held)


def _held(path: Path, busy: Callable[[], object] = lambda: None) -> int:
    """Opens a file, which is made if it is missing, when nobody else has opened it so."""
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _wait_for(opened, busy)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(opened), path.lstat()):
                    return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # removed or renamed by who held it before


def _wait_for(opened: int, busy: Callable[[], object]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy()
        fcntl.flock(opened, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return


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
        if not Path(path).is_file():  # a pipe would be waited for
            return
        with Path(path).open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError:
        return
    if is_pointer(start):
        raise MiteError(f"{path} is {GIT_LFS}.")


@contextmanager
def writing(path: str | Path, *, draft: str | Path | None = None) -> Iterator[None]:
    """Makes errors of the disk name what is written in the block.

    Python gives no file where a write fails, and libraries raise errors of their own kinds.

    Args:
        path: What is written: a file, or a folder.
        draft: Where it is written before it takes its name, which nobody has asked for.

    Raises:
        OSError: In place of any error that the disk has caused; `filename` is `path`, or a
            file in it where one is known.

    Example:
        >>> with writing("run/state.npz"):
        ...     raise RuntimeError("libfoo: write failed: No space left on device")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'run/state.npz'
    """
    try:
        yield
    except Exception as error:
        refused = refusal_of_disk(error)
        if refused is None:
            raise
        name = refused.filename
        if name is None or (draft is not None and str(name).startswith(str(draft))):
            refused = OSError(refused.errno, refused.strerror, str(path))
        if refused is error:
            raise
        raise refused from error


def refusal_of_disk(error: BaseException) -> OSError | None:
    """Returns the `OSError` that an error is, or tells of in its words; None if it does neither.

    TensorFlow, HDF5 and Hugging Face's libraries raise such errors.

    Example:
        >>> refusal_of_disk(RuntimeError("{{node Save}} /a/b; Permission denied"))
        PermissionError(13, 'Permission denied')
    """
    if isinstance(error, MiteError):
        return None
    if isinstance(error, OSError) and error.errno:
        return error
    words = str(error)
    for number in _REFUSALS:
        reason = os.strerror(number)
        if reason in words:
            named = re.search(rf"(?:^|}} )([^\n{{}}]+); {re.escape(reason)}", words)  # TensorFlow
            return OSError(number, reason, named and named[1])
    return None
