"""Recall of the exported forms, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.encoders import Encoders
from mite_tf.evaluation import evaluate_embeddings
from mite_tf.export.onnx.session import OnnxEncoder

_ROWS = 64
Embed = Callable[[np.ndarray], np.ndarray]


def measure_recall(
    encoders: Encoders,
    onnx_folder: Path,
    image_batches: Iterable[np.ndarray],
    captions: list[str],
    caption_image: np.ndarray,
    *,
    int8: bool,
) -> dict[str, Any]:
    """Embeds a split with Keras, ONNX and int8, and measures retrieval with each.

    Args:
        encoders: Encoders of the run.
        onnx_folder: Folder of the ONNX files.
        image_batches: Pixels or features of the images, in order.
        captions: The captions.
        caption_image: int `[C]`, the row of each caption's image.
        int8: Whether there are quantised files.

    Returns:
        Scores as `RetrievalScores.to_dict` gives them, by form: `keras`, `onnx`, `int8`.
    """
    suffixes = {"onnx": ".onnx"} | ({"int8": ".int8.onnx"} if int8 else {})

    def forms(name: str, keras_model: Any) -> Mapping[str, Embed]:
        return {"keras": lambda rows: keras_model(rows, training=False).numpy()} | {
            form: OnnxEncoder(onnx_folder / f"{name}_encoder{suffix}").embed
            for form, suffix in suffixes.items()
        }

    ids = encoders.tokenizer.table(captions).ids
    id_batches = (ids[row : row + _ROWS] for row in range(0, len(ids), _ROWS))
    images = _embed_all(forms("image", encoders.image_encoder), image_batches)
    texts = _embed_all(forms("text", encoders.text_encoder), id_batches)
    return {
        form: evaluate_embeddings(
            images[form], texts[form], caption_image, probe=False
        ).scores.to_dict()
        for form in images
    }


def _embed_all(forms: Mapping[str, Embed], batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    blocks: dict[str, list[np.ndarray]] = {form: [] for form in forms}
    for batch in batches:
        for form, embed in forms.items():
            blocks[form].append(embed(batch))
    return {form: np.concatenate(each) for form, each in blocks.items()}
