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
        unpaired_token_ids: int32 array `[T, L]` of captions that have no image here.
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
        unpaired_token_ids: np.ndarray | None = None,
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
        self.unpaired_token_ids = unpaired_token_ids
        self.unpaired_features = unpaired_features
        self._unpaired_names = [os.fsencode(path) for path in unpaired_paths]
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.captions_per_image = captions_per_image
        self.smallest_crop = smallest_crop
        self.flip = flip
        self.seed = seed
        order = np.argsort(caption_image, kind="stable")
        self._images, counts = np.unique(np.asarray(caption_image), return_counts=True)
        self._captions_of = np.split(order, np.cumsum(counts)[:-1])
        self._passes, self._batches_in_pass = _passes_and_batches(
            len(self._images), len(order), batch_size, captions_per_image
        )

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return self._passes * self._batches_in_pass

    def plan(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Returns the batches of an epoch: rows of images, rows of captions, image per caption."""
        random = np.random.default_rng([self.seed, epoch])
        shuffled = [random.permutation(captions) for captions in self._captions_of]
        batches = []
        for number in range(self._passes):
            order = random.permutation(len(self._images))
            for part in np.array_split(order, self._batches_in_pass):
                chosen = [self._take(shuffled[image], number) for image in part]
                owner = np.repeat(self._images[part], [len(captions) for captions in chosen])
                batches.append((self._images[part], np.concatenate(chosen), owner))
        return batches

    def _take(self, captions: np.ndarray, number: int) -> np.ndarray:
        """Captions of pass `number`; an image with few starts over, one with many loses some."""
        count = min(self.captions_per_image, len(captions))
        return np.take(captions, np.arange(count) + number * count, mode="wrap")

    def dataset(self, epoch: int | None = None, *, first_step: int = 0) -> tf.data.Dataset:
        """Returns batches as a `tf.data.Dataset` of dictionaries, see `MITE`.

        Args:
            epoch: None counts up from 0 each time the dataset is iterated, for a plain
                `model.fit(batches.dataset(), epochs=...)`.
            first_step: Batches of the epoch to leave out, for resuming.
        """
        epochs = itertools.count() if epoch is None else itertools.repeat(epoch)

        def generate() -> Iterator[tuple[np.ndarray, ...]]:
            number = next(epochs)
            for step, (images, captions, owner) in enumerate(self.plan(number)):
                if step >= first_step:  # views are drawn in one thread, for a certain order
                    random = np.random.default_rng([self.seed, number, step])
                    seeds = random.integers(0, 2**31 - 1, (len(images), 2), np.int32)
                    yield images, seeds, _trimmed(self.token_ids[captions]), owner

        dataset = tf.data.Dataset.from_generator(
            generate,
            output_signature=(
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((None, 2), tf.int32),
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((None,), tf.int64),
            ),
        )
        steps = self.steps - first_step
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        dataset = dataset.map(self._with_images, num_parallel_calls=tf.data.AUTOTUNE)
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
            ids = tf.numpy_function(self._drawn_captions, (count, place), tf.int32)
            more["unpaired_token_ids"] = tf.ensure_shape(ids, (None, None))
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

    def _drawn_captions(self, count: int, place: np.ndarray) -> np.ndarray:
        table = self.unpaired_token_ids
        assert table is not None
        rows, _ = self._drawn(len(table), count, place, _CAPTIONS)
        return _trimmed(table[rows]).astype(np.int32)

    def _drawn(
        self, total: int, count: int, place: np.ndarray, kind: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows, each once where there are enough, and seeds of their views."""
        random = np.random.default_rng([self.seed, *place, kind])
        rows = random.choice(total, count, replace=bool(count > total))
        return rows, random.integers(0, 2**31 - 1, (len(rows), 2), np.int32)

    def _with_images(self, images: Any, seeds: Any, token_ids: Any, owner: Any) -> dict[str, Any]:
        batch = {"image_id": images, "token_ids": token_ids, "caption_image_id": owner}
        if self.features is not None:
            return {"features": self._features(self.features, images, seeds), **batch}
        return {"pixels": self._pixels(self._names, images, seeds), **batch}

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
