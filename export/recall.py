"""Recall of the exported forms, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mite_tf.data import CaptionedImages
from mite_tf.data.batches import pixel_batches
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.evaluation import against_chance, evaluate_embeddings
from mite_tf.export.runtimes import Embed, OnnxEncoder

_ROWS = 16  # at 320 pixels a batch of 64 takes 9 GB in three forms


def measure_recall(
    encoders: Encoders,
    onnx_folder: Path,
    table: CaptionedImages,
    features: PrecomputedFeatures | None,
    *,
    int8: bool,
) -> dict[str, Any]:
    """Embeds captioned images with Keras, ONNX and int8, and measures retrieval with each.

    Returns:
        Scores as `RetrievalScores.to_dict` gives them, by form: `keras`, `onnx`, `int8`; those of
        random order as `chance`, and as `note` what the numbers do not show, if anything.
    """
    suffixes = {"onnx": ".onnx"} | ({"int8": ".int8.onnx"} if int8 else {})

    def forms(name: str, keras_model: Any) -> Mapping[str, Embed]:
        graph = tf.function(lambda rows: keras_model(rows, training=False), reduce_retracing=True)
        return {"keras": lambda rows: graph(tf.constant(rows)).numpy()} | {
            form: OnnxEncoder(onnx_folder / f"{name}_encoder{suffix}").embed
            for form, suffix in suffixes.items()
        }

    ids = encoders.tokenizer.table(table.captions).ids
    id_batches = (ids[row : row + _ROWS] for row in range(0, len(ids), _ROWS))
    images = _embed_all(
        forms("image", encoders.image_encoder), image_batches(encoders, table, features, _ROWS)
    )
    texts = _embed_all(forms("text", encoders.text_encoder), id_batches)
    evaluated = {
        form: evaluate_embeddings(images[form], texts[form], table.caption_image, probe=False)
        for form in images
    }
    scores: dict[str, Any] = {form: each.scores.to_dict() for form, each in evaluated.items()}
    keras = evaluated["keras"]
    told = against_chance(keras.rsum, keras.chance.rsum, keras.chance_deviation)
    return scores | {"chance": keras.chance.to_dict(), "note": told}


def image_batches(
    encoders: Encoders, table: CaptionedImages, features: PrecomputedFeatures | None, rows: int
) -> Iterator[np.ndarray]:
    """Yields what the image encoder takes, float32 batches of pixels or of features."""
    if encoders.preprocessing is not None:
        for pixels in pixel_batches(table.paths, encoders.preprocessing, batch_size=rows):
            yield pixels.numpy()
    elif features is not None:
        values = features.of(table.image_ids)
        for row in range(0, len(values), rows):
            yield np.asarray(values[row : row + rows], np.float32)


def _embed_all(forms: Mapping[str, Embed], batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    blocks: dict[str, list[np.ndarray]] = {form: [] for form in forms}
    for batch in batches:
        for form, embed in forms.items():
            blocks[form].append(embed(batch))
    return {form: np.concatenate(each) for form, each in blocks.items()}
