"""Training and evaluation batches of matching images and captions."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mite_tf.data.images import (
    Preprocessing,
    augment,
    load_image,
    lying_image,
    naming_bad_images,
)

# What Python gathers at once, and the memory that it may take.
_STEPS_AT_ONCE = 16
_BYTES_AT_ONCE = 2**25
_IMAGES, _CAPTIONS = 1, 2  # what is drawn, apart from each other


class PairBatches:
    """Batches for `MITE.fit`: distinct images, each with one or more of its captions.

    An epoch covers all captions: it goes through the shuffled images as many times as the average
    image has captions, and takes other captions each time. It is a function of the seed and its
    number alone, so an interrupted training goes on with the very batches it would have seen.

    Args:
        token_ids: int32 array `[C, L]`, all captions, padded with 0 on the right.
        caption_image: int array `[C]`, the row of the image that each caption belongs to.
        features: float array `[I, views, ...]`; a random view is taken of each image.
        paths: Image files, where there are no features.
        preprocessing: How files become pixels.
        batch_size: Images in a batch.
        captions_per_image: Captions taken of each image of a batch.
        smallest_crop: Smallest share of the area that a random crop of pixels keeps.
        flip: Whether pixels are mirrored at random.
        text_features: float array `[C, F]`, of each caption; none by default.
        unpaired_token_ids: int32 array `[T, L]` of captions that have no image here.
        unpaired_text_features: float array `[T, F]`, of each of them, where the others have some.
        unpaired_features: float array `[U, views, ...]` of images that have no captions here.
        unpaired_paths: Files of such images, where there are no features.
        seed: Seed of order, views, augmentation and what is unpaired.

    A batch has as many unpaired images and captions, drawn anew, as it has paired ones.

    Raises:
        ValueError: Neither features nor paths are given, or unpaired images are of the other kind.

    Example:
        >>> batches = PairBatches(
        ...     np.array([[3, 4], [5, 0], [6, 7]]), np.array([0, 0, 1]),
        ...     features=np.zeros((2, 1, 8), "float16"), batch_size=2,
        ... )
        >>> sorted(next(iter(batches.dataset(epoch=0))))
        ['caption_image_id', 'features', 'image_id', 'token_ids']
    """

    def __init__(
        self,
        token_ids: np.ndarray,
        caption_image: np.ndarray,
        *,
        features: np.ndarray | None = None,
        paths: Sequence[Path] | None = None,
        preprocessing: Preprocessing | None = None,
        batch_size: int = 128,
        captions_per_image: int = 1,
        smallest_crop: float = 1.0,
        flip: bool = False,
        text_features: np.ndarray | None = None,
        unpaired_token_ids: np.ndarray | None = None,
        unpaired_text_features: np.ndarray | None = None,
        unpaired_features: np.ndarray | None = None,
        unpaired_paths: Sequence[Path] = (),
        seed: int = 0,
    ) -> None:
        if features is None and (paths is None or preprocessing is None):
            raise ValueError("Give either `features`, or `paths` with their `preprocessing`.")
        unusable = unpaired_features if features is None else (unpaired_paths or None)
        if unusable is not None:
            raise ValueError("Give unpaired images as the others: as features, or as paths.")
        self.token_ids = np.asarray(token_ids, np.int32)
        self.features = features
        self.paths = paths
        self._names = [os.fsencode(path) for path in paths or ()]  # AutoGraph warns of it
        self.text_features = text_features
        self.unpaired_token_ids = unpaired_token_ids
        self.unpaired_text_features = unpaired_text_features
        self.unpaired_features = unpaired_features
        self._unpaired_names = [os.fsencode(path) for path in unpaired_paths]
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.captions_per_image = captions_per_image
        self.smallest_crop = smallest_crop
        self.flip = flip
        self.seed = seed
        self._images, self._owner, self._counts = np.unique(
            np.asarray(caption_image, np.int64), return_inverse=True, return_counts=True
        )
        self._passes, self._batches_in_pass = _passes_and_batches(
            len(self._images), len(self._owner), batch_size, captions_per_image
        )

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return self._passes * self._batches_in_pass

    def plan(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Returns the batches of an epoch: rows of images, rows of captions, image per caption."""
        images, _, image_ends, captions, owner, caption_ends = self._epoch(epoch)
        of_images, of_captions = image_ends[1:-1], caption_ends[1:-1]
        parts = zip(
            np.split(images, of_images),
            np.split(captions, of_captions),
            np.split(owner, of_captions),
            strict=True,
        )
        return list(parts)

    def _epoch(self, epoch: int) -> tuple[np.ndarray, ...]:
        """An epoch in arrays: images and their seeds, captions and owners, and ends of batches.

        The ends of the images are behind the images, those of the captions behind the owners; both
        begin with 0.
        """
        random = np.random.default_rng([self.seed, epoch])
        # All captions of an image side by side, in random order.
        shuffled = np.lexsort((random.random(len(self._owner)), self._owner))
        first = np.cumsum(self._counts) - self._counts
        order = np.concatenate([random.permutation(len(first)) for _ in range(self._passes)])
        seeds = random.integers(0, 2**31 - 1, (len(order), 2), np.int32)
        # In each pass an image takes the next of its captions; one with few starts over, one with
        # many loses some.
        taken = np.minimum(self.captions_per_image, self._counts[order])
        begin = np.repeat(np.arange(self._passes), len(first)) * taken
        row = np.repeat(order, taken)
        turn = np.arange(len(row)) + np.repeat(begin - np.cumsum(taken) + taken, taken)
        captions = shuffled[first[row] + turn % self._counts[row]]
        sizes = [len(part) for part in np.array_split(first, self._batches_in_pass)]
        image_ends = np.cumsum([0, *sizes * self._passes])
        caption_ends = np.append(0, np.cumsum(taken))[image_ends]
        return self._images[order], seeds, image_ends, captions, self._images[row], caption_ends

    def dataset(self, epoch: int | None = None, *, first_step: int = 0) -> tf.data.Dataset:
        """Returns batches as a `tf.data.Dataset` of dictionaries, see `MITE`.

        Args:
            epoch: None counts up from 0 each time the dataset is iterated, for a plain
                `model.fit(batches.dataset(), epochs=...)`.
            first_step: Batches of the epoch to leave out, for resuming.
        """
        epochs = itertools.count() if epoch is None else itertools.repeat(epoch)
        features, ids = self.features, self.token_ids
        if features is None:
            features = np.zeros((1, 1, 0), np.float32)
        texts = self.text_features
        if texts is None:
            texts = np.zeros((len(ids), 0), np.float32)
        at_once = self.batch_size * math.prod(features.shape[2:]) * features.itemsize
        at_once = max(1, min(_STEPS_AT_ONCE, _BYTES_AT_ONCE // max(1, at_once)))

        def generate() -> Iterator[tuple[np.ndarray, ...]]:
            """Arrays of several batches at once, which Python would be too slow for one by one."""
            images, seeds, image_ends, captions, owner, caption_ends = self._epoch(next(epochs))
            for step in range(first_step, self.steps, at_once):
                of_images, of_captions = (
                    ends[step : step + at_once + 1] for ends in (image_ends, caption_ends)
                )
                rows = slice(of_images[0], of_images[-1])
                places = slice(of_captions[0], of_captions[-1])
                view = seeds[rows, 0] % features.shape[1]
                found = features[images[rows] if self.features is not None else 0 * view, view]
                yield (
                    *(found, images[rows], seeds[rows], of_images - of_images[0]),
                    *(ids[captions[places]], texts[captions[places]], owner[places]),
                    of_captions - of_captions[0],
                )

        @tf.autograph.experimental.do_not_convert
        def cut(*arrays: tf.Tensor) -> tf.data.Dataset:
            *of_images, image_ends, token_ids, texts, owner, caption_ends = arrays

            @tf.autograph.experimental.do_not_convert
            def batch(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
                rows = slice(image_ends[step], image_ends[step + 1])
                places = slice(caption_ends[step], caption_ends[step + 1])
                own = token_ids[places]
                longest = tf.maximum(tf.reduce_max(tf.math.count_nonzero(own, axis=1)), 1)
                of_captions = own[:, :longest], texts[places], owner[places]
                return *(each[rows] for each in of_images), *of_captions

            return tf.data.Dataset.range(tf.size(image_ends, tf.int64) - 1).map(batch)

        rows = tf.TensorSpec((None,), tf.int64)
        signature = (
            tf.TensorSpec((None, *features.shape[2:]), features.dtype),
            *(rows, tf.TensorSpec((None, 2), tf.int32), rows),
            tf.TensorSpec((None, ids.shape[1]), tf.int32),
            *(tf.TensorSpec((None, texts.shape[1]), texts.dtype), rows, rows),
        )
        steps = self.steps - first_step
        dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
        dataset = dataset.prefetch(1).flat_map(cut)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        dataset = dataset.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)
        if self._has_unpaired:
            dataset = tf.data.Dataset.zip(dataset, self._places(epoch, first_step))
            dataset = dataset.map(self._with_unpaired, num_parallel_calls=tf.data.AUTOTUNE)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return dataset.prefetch(2)

    @property
    def _has_unpaired(self) -> bool:
        images = self.unpaired_features is not None or bool(self._unpaired_names)
        return images or self.unpaired_token_ids is not None

    def _places(self, epoch: int | None, first_step: int) -> tf.data.Dataset:
        """Epoch and step of each batch."""
        epochs = itertools.count() if epoch is None else itertools.repeat(epoch)
        numbers = tf.data.Dataset.from_generator(
            lambda: iter([next(epochs)]), output_signature=tf.TensorSpec((), tf.int64)
        )
        steps = tf.data.Dataset.range(first_step, self.steps)
        return numbers.flat_map(lambda number: steps.map(lambda step: tf.stack([number, step])))

    def _with_unpaired(self, batch: dict[str, Any], place: Any) -> dict[str, Any]:
        """Adds unpaired images and captions, as many as there are paired ones."""
        more = dict(batch)
        if self.unpaired_token_ids is not None:
            count = tf.shape(batch["token_ids"])[0]
            ids, texts = tf.numpy_function(
                self._drawn_captions, (count, place), (tf.int32, tf.float32)
            )
            more["unpaired_token_ids"] = tf.ensure_shape(ids, (None, None))
            if self.unpaired_text_features is not None:
                shape = (None, self.unpaired_text_features.shape[1])
                more["unpaired_text_features"] = tf.ensure_shape(texts, shape)
        features, names = self.unpaired_features, self._unpaired_names
        if features is not None or names:
            count = tf.shape(batch["image_id"])[0]
            total = len(names if features is None else features)
            drawn = tf.numpy_function(
                self._drawn, (total, count, place, _IMAGES), (tf.int64, tf.int32)
            )
            rows, seeds = tf.ensure_shape(drawn[0], (None,)), tf.ensure_shape(drawn[1], (None, 2))
            if features is None:
                more["unpaired_pixels"] = self._pixels(names, rows, seeds)
            else:
                more["unpaired_features"] = self._features(features, rows, seeds)
        return more

    def _drawn_captions(self, count: int, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table, texts = self.unpaired_token_ids, self.unpaired_text_features
        assert table is not None
        rows, _ = self._drawn(len(table), count, place, _CAPTIONS)
        found = np.zeros(0, np.float32) if texts is None else texts[rows].astype(np.float32)
        return _trimmed(table[rows]).astype(np.int32), found

    def _drawn(
        self, total: int, count: int, place: np.ndarray, kind: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows, each once where there are enough, and seeds of their views."""
        random = np.random.default_rng([self.seed, *place, kind])
        rows = random.choice(total, count, replace=bool(count > total))
        return rows, random.integers(0, 2**31 - 1, (len(rows), 2), np.int32)

    def _batch(
        self, features: Any, images: Any, seeds: Any, token_ids: Any, texts: Any, owner: Any
    ) -> dict[str, Any]:
        batch = {"image_id": images, "token_ids": token_ids, "caption_image_id": owner}
        if self.text_features is not None:
            batch["text_features"] = tf.cast(texts, tf.float32)
        if self.features is None:
            return {"pixels": self._pixels(self._names, images, seeds), **batch}
        return {"features": tf.cast(features, tf.float32), **batch}

    def _features(self, features: np.ndarray, images: Any, seeds: Any) -> Any:
        def gather(images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
            return features[images, seeds[:, 0] % features.shape[1]].astype(np.float32)

        gathered = tf.numpy_function(gather, (images, seeds), tf.float32)
        return tf.ensure_shape(gathered, (None, *features.shape[2:]))

    def _pixels(self, files: Sequence[bytes], images: Any, seeds: Any) -> Any:
        specification = self.preprocessing
        assert specification is not None
        names = tf.constant(files)

        def load(item: tuple[Any, Any]) -> Any:
            image, orientation = lying_image(tf.io.read_file(names[item[0]]), specification)
            return augment(
                image,
                specification,
                item[1],
                orientation,
                smallest_crop=self.smallest_crop,
                flip=self.flip,
            )

        signature = tf.TensorSpec((specification.height, specification.width, 3), tf.float32)
        return tf.map_fn(load, (images, seeds), fn_output_signature=signature)


def _trimmed(token_ids: np.ndarray) -> np.ndarray:
    """Cuts off the columns that hold padding alone."""
    return token_ids[:, : max(1, int((token_ids != 0).sum(axis=1).max()))]


def steps_per_epoch(images: int, captions: int, batch_size: int, captions_per_image: int) -> int:
    """Returns the number of batches of one epoch of `PairBatches`."""
    return math.prod(_passes_and_batches(images, captions, batch_size, captions_per_image))


def _passes_and_batches(
    images: int, captions: int, batch_size: int, captions_per_image: int
) -> tuple[int, int]:
    """Returns the passes over the images in an epoch, and the batches in each."""
    passes = max(1, round(captions / images / captions_per_image))
    # At least two images in each: one alone has no others to be told from.
    return passes, max(1, min(round(images / batch_size), images // 2))


def pixel_batches(
    paths: Sequence[Path], preprocessing: Preprocessing, *, batch_size: int = 64
) -> Iterator[tf.Tensor]:
    """Yields the pixels of image files in order, as float32 batches `[N, H, W, 3]` in 0-255.

    Raises:
        MiteError: A file cannot be read or decoded; it is named.
    """
    names = tf.constant([os.fsencode(path) for path in paths], tf.string)
    pixels = tf.data.Dataset.from_tensor_slices(names).map(
        lambda path: load_image(path, preprocessing), num_parallel_calls=tf.data.AUTOTUNE
    )
    with naming_bad_images(paths):
        yield from pixels.batch(batch_size).prefetch(2)
