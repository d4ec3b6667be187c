"""The data that a run was trained on, where it still is, as its encoders take it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mite_tf.data import CaptionedImages, read
from mite_tf.data.batches import pixel_batches
from mite_tf.data.images import Preprocessing
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.errors import MiteError
from mite_tf.runs import Run


def data_of(run: Run, data: str | Path | CaptionedImages | None) -> CaptionedImages | None:
    """Returns the captioned images of a run.

    Args:
        run: The run.
        data: Where they are; by default where they were when the run was trained.

    Returns:
        The table; None if `data` is not given and nothing can be read where it was.

    Raises:
        MiteError: If `data` is given and cannot be read.
    """
    if isinstance(data, CaptionedImages):
        return data
    if data is not None:
        return read(data)
    source = run.info["data"].get("source")
    if source is None:
        return None
    try:
        return read(source["path"], format=source["format"], root=source["root"])
    except MiteError:
        return None


def image_inputs(
    run: Run, table: CaptionedImages, preprocessing: Preprocessing | None, *, batch_size: int = 64
) -> Iterator[np.ndarray]:
    """Yields what the image encoder takes, float32 batches of pixels or of features.

    Args:
        run: The run, which says where precomputed features lie.
        table: The images.
        preprocessing: Files to pixels; None for an encoder that starts at features.
        batch_size: Images in a batch.

    Raises:
        MiteError: If there is no file of features, or it lacks an image.
    """
    if preprocessing is None:
        features = PrecomputedFeatures(run.config.backbone.features).of(table.image_ids)
        for row in range(0, len(features), batch_size):
            yield np.asarray(features[row : row + batch_size], np.float32)
    else:
        for pixels in pixel_batches(table.paths, preprocessing, batch_size=batch_size):
            yield pixels.numpy()
