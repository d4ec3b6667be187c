"""Arrays of features, computed once and kept on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from mite_tf.files import locked, write_text, writing
from mite_tf.progress import say
from mite_tf.reading import must_be_file

Progress = Callable[[int, int], object]


class ArrayCache:
    """Float16 arrays in a folder, each known by a key of all that decides it.

    An array is computed anew when its key changes, or when its file is damaged. It is written
    beside its final name, with a count of the rows that are safely on disk; an interrupted pass
    goes on from there. Who wants what another process is computing waits for it.

    Args:
        folder: Where the arrays lie; made when missing.
        tell: Called with a sentence about what is waited for or computed again.

    Example:
        >>> import tempfile
        >>> cache, rows = ArrayCache(tempfile.mkdtemp()), np.eye(3)
        >>> cache.array({"of": "eye"}, (3, 3), lambda start: iter([rows[start:]])).dtype
        dtype('float16')
    """

    def __init__(self, folder: str | Path, *, tell: Callable[[str], object] = say) -> None:
        self.folder = Path(folder)
        self._tell = tell

    def array(
        self,
        key: Mapping[str, Any],
        shape: tuple[int, ...],
        compute: Callable[[int], Iterator[Any]],
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Returns an array, computing what is not on disk yet.

        Args:
            key: What decides the array, as JSON values.
            shape: Its shape.
            compute: Yields its rows in order, in blocks, from a row on.
            on_progress: Called with the number of rows done and of all rows, now and then.

        Returns:
            float16 memory map of the shape.
        """
        path = self._file(key)
        array, progress = _mapped(path, shape), on_progress or (lambda done, total: None)
        if array is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone(path, lambda: progress(0, shape[0])):
                array = _mapped(path, shape)  # by whom this one has waited for
                if array is None:
                    if path.exists():
                        self._tell(f"{path}: is damaged; its features are computed again.")
                    self._compute(path, shape, compute, progress)
                    array = np.load(path, mmap_mode="r")
        return array

    def has(self, key: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
        """Returns whether an array is on disk, all of it."""
        return _mapped(self._file(key), shape) is not None

    def _file(self, key: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / f"{name}.npy"

    @contextmanager
    def _alone(self, path: Path, waiting: Callable[[], object]) -> Iterator[None]:
        """Keeps others from computing a file; `waiting` is called now and then, and may raise."""

        def busy() -> NoReturn:
            raise BlockingIOError

        told = False
        with ExitStack() as held:
            while True:
                try:
                    with writing(self.folder):
                        held.enter_context(locked(path.with_suffix(".lock"), busy=busy))
                    break
                except BlockingIOError:
                    if not told:
                        self._tell(f"{path}: another process computes these features; waiting.")
                    told = True
                    waiting()
                    time.sleep(0.5)
            yield

    def _compute(
        self,
        path: Path,
        shape: tuple[int, ...],
        compute: Callable[[int], Iterator[Any]],
        progress: Progress,
    ) -> None:
        """Writes the file from where it was left; not through memory, where a full disk kills."""
        partial, counter = path.with_suffix(".partial"), path.with_suffix(".rows")
        rows = _rows_on_disk(partial, counter, shape)
        if counter.exists() and not rows:
            self._tell(f"{partial}: is damaged; its features are computed from the beginning.")
        with writing(path, draft=partial), partial.open("r+b" if rows else "w+b") as file:
            begin = _begin(file) if rows else _write_header(file, shape)
            row_bytes = 2 * int(np.prod(shape[1:]))
            _reserve(partial, file, begin + shape[0] * row_bytes)
            file.seek(begin + rows * row_bytes)
            for block in compute(rows):
                file.write(np.asarray(block).astype(np.float16).tobytes())
                rows += len(block)
                # Rows before the count: a count may lag behind what is on disk, never lead it.
                file.flush()
                os.fsync(file.fileno())
                write_text(counter, str(rows))
                progress(rows, shape[0])
        partial.replace(path)
        counter.unlink(missing_ok=True)


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Maps a file of features; None if it is missing, damaged or of another shape."""
    try:
        must_be_file(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, SyntaxError, MemoryError):  # as NumPy finds the header
        return None
    fits = isinstance(array, np.ndarray) and array.shape == shape and array.dtype == np.float16
    return array if fits and array.flags.c_contiguous else None


def _rows_on_disk(partial: Path, counter: Path, shape: tuple[int, ...]) -> int:
    """Returns the number of rows that an interrupted pass has left; 0 if anything is wrong."""
    try:
        must_be_file(counter)
        must_be_file(partial)
        rows = int(counter.read_text())
        with partial.open("rb") as file:
            np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0(file)
            needed = file.tell() + rows * 2 * int(np.prod(shape[1:]))
        whole = partial.stat().st_size >= needed and 0 < rows <= shape[0]
    except (OSError, ValueError, EOFError, SyntaxError):
        return 0
    return rows if whole and header == (shape, False, np.dtype(np.float16)) else 0


def _begin(file: IO[bytes]) -> int:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _reserve(partial: Path, file: IO[bytes], size: int) -> None:
    """Takes the room of a file at once: a disk without it is told before hours of computing."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # macOS, Windows
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):  # by file systems
            partial.unlink()  # so that there is room for what is needed more
            raise
