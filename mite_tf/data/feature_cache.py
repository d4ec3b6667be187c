"""Backbone features of many images and captions, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mite_tf.data.array_cache import ArrayCache
from mite_tf.data.images import (
    Preprocessing,
    augment,
    lying_image,
    naming_bad_images,
    preprocess,
)
from mite_tf.errors import MiteError
from mite_tf.progress import say

_BATCH = 64
_SEED = 0  # of the random crops
# Captions that are sorted by length and written together: enough that hardly any padding is left in
# a batch, few enough that little is lost by a stop.
_CAPTIONS = 1024
# Where the configuration of a Keras model has names of its parts.
_NAMES = ("name", "keras_history", "input_layers", "output_layers")


def fingerprint_of_model(model: Any) -> str:
    """Returns a hash over the configuration and the weights of a Keras model.

    The seeds of dropout, new each time that a model is made or loaded, do not count, nor do the
    numbers that Keras puts behind a name which it has given before.
    """
    configuration = _as_if_first(json.loads(model.to_json()), "", {})
    digest = hashlib.sha256(json.dumps(configuration).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _as_if_first(value: Any, key: str, seen: dict[str, list[str]]) -> Any:
    """Numbers the names in a configuration as in a process where nothing was made before it."""
    if isinstance(value, dict):
        inner = {name: key if key in _NAMES else name for name in value}
        return {name: _as_if_first(each, inner[name], seen) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_if_first(each, key, seen) for each in value]
    if not isinstance(value, str) or key not in _NAMES:
        return value
    stem = re.sub(r"_\d+$", "", value)
    known = seen.setdefault(stem, [])
    if value not in known:
        known.append(value)
    number = known.index(value)
    return f"{stem}_{number}" if number else stem


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


class FeatureCache(ArrayCache):
    """Features of images under one frozen backbone, memory-mapped from a folder.

    They are computed anew when backbone, preprocessing, views or image files change.

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
        super().__init__(folder, tell=tell)
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

        def compute(start: int) -> Iterator[np.ndarray]:
            for batch in self._pixels(paths, views, smallest_crop, start=start):
                yield self._forward(batch).numpy()

        shape = (len(paths) * views, *self.backbone.output_shape[1:])
        array = self.array(self._key(paths, views, smallest_crop), shape, compute, on_progress)
        return array.reshape(len(paths), views, *shape[1:])

    def holds(self, paths: Sequence[Path], *, views: int = 1, smallest_crop: float = 1.0) -> bool:
        """Returns whether these features are on disk, all of them."""
        shape = (len(paths) * views, *self.backbone.output_shape[1:])
        return self.has(self._key(paths, views, smallest_crop), shape)

    def _key(self, paths: Sequence[Path], views: int, smallest_crop: float) -> dict[str, Any]:
        return {
            "backbone": self._backbone_hash,
            "preprocessing": self.preprocessing.to_dict(),
            "images": fingerprint_of_images(paths),
            "views": views,
            **({"smallest_crop": smallest_crop, "seed": _SEED} if views > 2 else {}),
        }

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


class TextFeatureCache(ArrayCache):
    """Features of captions under one frozen text backbone, memory-mapped from a folder.

    They are computed anew when the backbone, its tokenizer or the captions change.

    Args:
        folder: Where the arrays lie; made when missing.
        backbone: Keras model from token ids `[N, L]`, padded with 0, to features `[N, C]`.
        tell: Called with a sentence about what is waited for or computed again.
    """

    def __init__(
        self, folder: str | Path, backbone: Any, *, tell: Callable[[str], object] = say
    ) -> None:
        super().__init__(folder, tell=tell)
        self.backbone = backbone
        self._backbone_hash = fingerprint_of_model(backbone)

    def features(
        self, token_ids: np.ndarray, *, on_progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Returns the features of captions, given as int32 `[N, L]`; float16 `[N, C]`."""
        ids = np.asarray(token_ids, np.int32)
        return self.array(
            *self._place(ids), lambda start: text_features(self._forward, ids, start), on_progress
        )

    def holds(self, token_ids: np.ndarray) -> bool:
        """Returns whether these features are on disk, all of them."""
        return self.has(*self._place(np.asarray(token_ids, np.int32)))

    def _place(self, ids: np.ndarray) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Key and shape; ids stand for captions and tokenizer in one."""
        digest = hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()
        key = {"backbone": self._backbone_hash, "token_ids": digest, "length": ids.shape[1]}
        return key, (len(ids), self.backbone.output_shape[-1])

    @cached_property
    def _forward(self) -> Callable[[Any], Any]:
        return text_graph(self.backbone)


def text_graph(backbone: Any) -> Callable[[Any], Any]:
    """Returns a text backbone as a graph, from token ids `[N, L]` to features `[N, C]`."""
    return tf.function(
        lambda ids: backbone(ids, training=False),
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
    )


def text_features(
    forward: Callable[[Any], Any], token_ids: np.ndarray, start: int = 0
) -> Iterator[np.ndarray]:
    """Yields features of captions in order, in blocks, each computed from short to long.

    Args:
        forward: The backbone, see `text_graph`.
        token_ids: int32 array `[N, L]`, padded with 0 on the right.
        start: Row to begin at, as an earlier pass has left it.
    """
    for first in range(start, len(token_ids), _CAPTIONS):
        ids = token_ids[first : first + _CAPTIONS]
        lengths = np.maximum(np.count_nonzero(ids, axis=1), 1)
        order = np.argsort(lengths, kind="stable")
        found = [
            forward(ids[rows, : lengths[rows[-1]]]).numpy()
            for rows in (order[row : row + _BATCH] for row in range(0, len(order), _BATCH))
        ]
        block = np.empty((len(ids), *found[0].shape[1:]), np.float32)
        block[order] = np.concatenate(found)
        yield block
