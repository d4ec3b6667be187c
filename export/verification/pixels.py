"""Pixels of the cases: by the graph, and by the reference without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.export.pixels import pixels_of


def graph_pixels(files: Sequence[Path], preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Returns float32 `[N, H, W, 3]` as TensorFlow decodes and resizes."""
    from mite_tf.data.images import Preprocessing, load_image

    specification = Preprocessing.from_dict(dict(preprocessing))
    return np.stack([load_image(str(file), specification).numpy() for file in files])


def reference_pixels(files: Sequence[Path], preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Returns float32 `[N, H, W, 3]` as NumPy and Pillow decode and resize."""
    return np.stack([pixels_of(file.read_bytes(), preprocessing) for file in files])
