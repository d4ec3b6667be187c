"""The ONNX files against Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mite_tf.export.manifest import Manifest
from mite_tf.export.onnx.session import OnnxEncoder
from mite_tf.export.verification.check import Check, compare_embeddings
from mite_tf.export.verification.golden import Golden
from mite_tf.export.verification.pixels import graph_pixels, reference_pixels
from mite_tf.export.verification.tolerances import INT8, ONNX, PIXELS, REFERENCE


def checks(folder: Path, manifest: Manifest, golden: Golden, *, int8: bool) -> Iterator[Check]:
    """Compares both encoders, with all cases in one batch and one by one."""
    text, image = (OnnxEncoder(folder / "onnx" / f"{name}_encoder.onnx") for name in _NAMES)
    inputs = golden.features
    if inputs is None:
        assert manifest.preprocessing is not None
        inputs = graph_pixels(golden.files, manifest.preprocessing)
    for name, encoder, cases, expected in (
        ("text", text, golden.token_ids, golden.caption_embeddings),
        ("image", image, inputs, golden.image_embeddings),
    ):
        yield from compare_embeddings(f"ONNX, {name}", encoder.embed, cases, expected, ONNX)
        if int8:
            quantized = OnnxEncoder(folder / "onnx" / f"{name}_encoder.int8.onnx")
            apart = 1 - _cosines(quantized.embed(cases), expected)
            yield Check(f"ONNX int8, {name}, mean of 1 - cosine", float(apart.mean()), INT8)
    if golden.features is None:
        reference = reference_pixels(golden.files, manifest.preprocessing)
        apart = np.abs(reference - inputs).mean(axis=(1, 2, 3)).max()
        yield Check("Pillow's pixels, mean of 255 levels", float(apart), PIXELS)
        apart = 1 - _cosines(image.embed(reference), golden.image_embeddings)
        yield Check("ONNX, image, Pillow's pixels, 1 - cosine", float(apart.max()), REFERENCE)


_NAMES = ("text", "image")


def _cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", found, expected, dtype=np.float64)
