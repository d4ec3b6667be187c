"""LiteRT and OpenVINO files against Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.keras_format_session import load_litert, load_openvino
from mite_tf.export.manifest import Manifest
from mite_tf.export.verification.check import Check, compare_embeddings
from mite_tf.export.verification.golden import Golden
from mite_tf.export.verification.pixels import graph_pixels
from mite_tf.export.verification.tolerances import LITERT, OPENVINO


def checks(folder: Path, manifest: Manifest, golden: Golden, name: str) -> Iterator[Check]:
    """Compares both encoders of a format, `litert` or `openvino`."""
    suffix, load, tolerance = {
        "litert": (".tflite", load_litert, LITERT),
        "openvino": (".xml", load_openvino, OPENVINO),
    }[name]
    inputs = golden.features
    if inputs is None:
        assert manifest.preprocessing is not None
        inputs = graph_pixels(golden.files, manifest.preprocessing)
    spare = manifest.tokenizer["max_length"] - golden.token_ids.shape[1]
    for encoder, cases, expected in (
        ("text", np.pad(golden.token_ids, [(0, 0), (0, spare)]), golden.caption_embeddings),
        ("image", inputs, golden.image_embeddings),
    ):
        path = folder / name / f"{encoder}_encoder{suffix}"
        try:
            yield from compare_embeddings(
                f"{name}, {encoder}", load(path), cases, expected, tolerance
            )
        except (RuntimeError, ValueError) as error:
            raise MiteError(f"{path}: cannot be run: {error}") from error
