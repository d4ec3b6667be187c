"""Backbone features of many images, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

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
from mite_tf.files import write_text, writing

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
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class FeatureCache:
    """Features of images under one frozen backbone, memory-mapped from a folder.

    An array is computed anew when backbone, preprocessing, views or image files change. It is
    written beside its final name, with a count of the rows that are safely on disk; an interrupted
    pass goes on from there.

    Args:
        folder: Where the arrays lie; made when missing.
        backbone: Keras model from pixels `[N, H, W, 3]` in 0-255 to features.
        preprocessing: How files become pixels.
    """

    def __init__(self, folder: str | Path, backbone: Any, preprocessing: Preprocessing) -> None:
        self.folder = Path(folder)
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
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial, counter = path.with_suffix(".partial"), path.with_suffix(".rows")
            rows = _rows_on_disk(partial, counter, shape)
            with writing(path, draft=partial):
                array = np.lib.format.open_memmap(
                    partial, "r+" if rows else "w+", dtype=np.float16, shape=shape
                )
                _claim(partial)
            for batch in self._pixels(paths, views, smallest_crop, start=rows):
                array[rows : rows + len(batch)] = self._forward(batch).numpy()
                rows += len(batch)
                # Pages before the count: a count may lag behind what is on disk, never lead it.
                array.flush()
                write_text(counter, str(rows))
                if on_progress:
                    on_progress(rows, shape[0])
            partial.replace(path)
            counter.unlink(missing_ok=True)
        return np.load(path, mmap_mode="r").reshape(len(paths), views, *shape[1:])

    def holds(self, paths: Sequence[Path], *, views: int = 1, smallest_crop: float = 1.0) -> bool:
        """Returns whether these features are on disk, all of them."""
        return self._file(paths, views, smallest_crop).exists()

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
        names = tf.constant([str(path) for path in paths])

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


def _claim(path: Path) -> None:
    """Takes the disk space of a file that is to be written through memory.

    A disk that fills up then kills the process without a word.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError:
            path.unlink()
            raise


def _rows_on_disk(partial: Path, counter: Path, shape: tuple[int, ...]) -> int:
    try:
        rows = int(counter.read_text())
        stored = np.load(partial, mmap_mode="r").shape
    except (OSError, ValueError):
        return 0
    return rows if stored == shape and rows <= shape[0] else 0
