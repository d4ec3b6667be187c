"""Backbone features of many images, computed once and kept on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import tensorflow as tf

from mite_tf.data.images import (
    Preprocessing,
    augment,
    lying_image,
    naming_bad_images,
    preprocess,
)
from mite_tf.errors import MiteError
from mite_tf.files import locked, write_text, writing
from mite_tf.progress import say
from mite_tf.reading import must_be_file

_BATCH = 64
_SEED = 0  # of the random crops


def fingerprint_of_model(model: Any) -> str:
    """Returns a hash over the configuration and the weights of a Keras model.

    The seeds of dropout, new each time that a model is made or loaded, do not count.
    """
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def fingerprint_of_images(paths: Sequence[Path]) -> str:
    """Returns a hash over names, sizes and modification times of image files.

    Raises:
        MiteError: A file is not there.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise MiteError(f"{path} cannot be read: {error.strerror}.") from error
        digest.update(os.fsencode(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
    return digest.hexdigest()


class FeatureCache:
    """Features of images under one frozen backbone, memory-mapped from a folder.

    An array is computed anew when backbone, preprocessing, views or image files change, or when
    its file is damaged. It is written beside its final name, with a count of the rows that are
    safely on disk; an interrupted pass goes on from there. Who wants features that another process
    is computing waits for them.

    Args:
        folder: Where the arrays lie; made when missing.
        backbone: Keras model from pixels `[N, H, W, 3]` in 0-255 to features.
        preprocessing: How files become pixels.
        tell: Called with a sentence about what is waited for or computed again.
    """

    def __init__(
        self,
        folder: str | Path,
        backbone: Any,
        preprocessing: Preprocessing,
        *,
        tell: Callable[[str], object] = say,
    ) -> None:
        self.folder = Path(folder)
        self._tell = tell
        self.backbone = backbone
        self.preprocessing = preprocessing
        self._backbone_hash = fingerprint_of_model(backbone)

    def features(
        self,
        paths: Sequence[Path],
        *,
        views: int = 1,
        smallest_crop: float = 1.0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Returns features of all images, computing what is not on disk yet.

        Args:
            paths: Image files.
            views: Number of views of each image. The first is the whole frame, the second its
                mirror image, any further ones are random crops, mirrored at random.
            smallest_crop: Smallest share of the area that a random crop keeps.
            on_progress: Called with the number of rows done and of all rows, now and then.

        Returns:
            float16 memory map `[images, views, ...]`.

        Raises:
            MiteError: A file cannot be read or decoded; it is named.
        """
        path = self._file(paths, views, smallest_crop)
        shape = (len(paths) * views, *self.backbone.output_shape[1:])
        array, progress = _mapped(path, shape), on_progress or (lambda done, total: None)
        if array is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone(path, lambda: progress(0, shape[0])):
                array = _mapped(path, shape)  # by whom this one has waited for
                if array is None:
                    if path.exists():
                        self._tell(f"{path}: is damaged; its features are computed again.")
                    self._compute(path, shape, paths, views, smallest_crop, progress)
                    array = np.load(path, mmap_mode="r")
        return array.reshape(len(paths), views, *shape[1:])

    def holds(self, paths: Sequence[Path], *, views: int = 1, smallest_crop: float = 1.0) -> bool:
        """Returns whether these features are on disk, all of them."""
        shape = (len(paths) * views, *self.backbone.output_shape[1:])
        return _mapped(self._file(paths, views, smallest_crop), shape) is not None

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
        paths: Sequence[Path],
        views: int,
        smallest_crop: float,
        progress: Callable[[int, int], object],
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
            for batch in self._pixels(paths, views, smallest_crop, start=rows):
                file.write(self._forward(batch).numpy().astype(np.float16).tobytes())
                rows += len(batch)
                # Rows before the count: a count may lag behind what is on disk, never lead it.
                file.flush()
                os.fsync(file.fileno())
                write_text(counter, str(rows))
                progress(rows, shape[0])
        partial.replace(path)
        counter.unlink(missing_ok=True)

    def _file(self, paths: Sequence[Path], views: int, smallest_crop: float) -> Path:
        key = {
            "backbone": self._backbone_hash,
            "preprocessing": self.preprocessing.to_dict(),
            "images": fingerprint_of_images(paths),
            "views": views,
            **({"smallest_crop": smallest_crop, "seed": _SEED} if views > 2 else {}),
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / f"{name}.npy"

    @cached_property
    def _forward(self) -> Callable[[Any], Any]:
        """The backbone as a graph."""
        shape = (None, self.preprocessing.height, self.preprocessing.width, 3)
        return tf.function(
            lambda pixels: self.backbone(pixels, training=False),
            input_signature=[tf.TensorSpec(shape)],
        )

    def _pixels(self, paths: Sequence[Path], views: int, smallest_crop: float, start: int) -> Any:
        """Yields batches of pixels, all views of an image in a row, from row `start` on."""
        names = tf.constant([os.fsencode(path) for path in paths])

        def load(row: Any) -> Any:
            file = tf.io.read_file(names[row // views])
            image, orientation = lying_image(file, self.preprocessing)
            view = row % views
            whole = preprocess(image, self.preprocessing, orientation)
            if views == 1:
                return whole
            mirrored = tf.cond(view == 1, lambda: tf.image.flip_left_right(whole), lambda: whole)
            if views == 2:
                return mirrored
            seeds = tf.stack([_SEED, row])
            return tf.cond(
                view < 2,
                lambda: mirrored,
                lambda: augment(
                    image, self.preprocessing, seeds, orientation, smallest_crop=smallest_crop
                ),
            )

        rows = tf.data.Dataset.range(start, len(paths) * views, output_type=tf.int32)
        dataset = rows.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH).prefetch(2)
        with naming_bad_images(paths[start // views :]):
            yield from dataset


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
