"""The SavedModels against Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mite_tf.export.manifest import Manifest
from mite_tf.export.savedmodel import SavedModel
from mite_tf.export.verification.check import Check, compare, compare_embeddings
from mite_tf.export.verification.golden import Golden
from mite_tf.export.verification.tolerances import SAVEDMODEL


def checks(folder: Path, manifest: Manifest, golden: Golden) -> Iterator[Check]:
    """Compares every signature of both, with all cases in one batch and one by one."""
    text, image = (
        SavedModel(folder / "savedmodel" / name / str(manifest.version))
        for name in ("text", "image")
    )
    for signature, inputs in (
        ("serving_default", golden.captions),
        ("token_ids", golden.token_ids),
    ):
        yield from compare_embeddings(
            f"SavedModel, text, {signature}",
            lambda batch, signature=signature: text.embed(batch, signature),
            inputs,
            golden.caption_embeddings,
            SAVEDMODEL,
        )
    if golden.features is not None:
        yield from compare_embeddings(
            "SavedModel, image, features",
            lambda batch: image.embed(batch, "features"),
            golden.features,
            golden.image_embeddings,
            SAVEDMODEL,
        )
        return
    yield from compare_embeddings(
        "SavedModel, image, serving_default",
        image.embed,
        [file.read_bytes() for file in golden.files],
        golden.image_embeddings,
        SAVEDMODEL,
    )
    for signature in ("pixels", "pixels_uint8"):
        yield compare(
            f"SavedModel, image, {signature}",
            np.concatenate([image.embed(_decoded(file), signature) for file in golden.files]),
            golden.image_embeddings,
            SAVEDMODEL,
        )


def _decoded(file: Path) -> np.ndarray:
    import tensorflow as tf

    from mite_tf.data.images import decode_image

    return decode_image(tf.io.read_file(str(file)))[None].numpy()
