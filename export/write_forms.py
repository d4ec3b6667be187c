"""The forms of an export, from the encoders of a run."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages
from mite_tf.encoders import Encoders
from mite_tf.export.describe_encoders import describe_encoders, embedding_space, write_record
from mite_tf.export.run_data import image_inputs
from mite_tf.export.savedmodel import write_savedmodel
from mite_tf.export.signatures import signatures_of
from mite_tf.export.verification.images import images
from mite_tf.export.warmup import write_warmup
from mite_tf.runs import Run

# Enough that the ranges of activations have settled.
_CALIBRATION_IMAGES = 128
# What an export takes of the server's own files, which serving/tf_serving holds.
_SETTINGS = ("models.config", "batching.config", "monitoring.config")


def write_savedmodels(folder: Path, encoders: Encoders, number: int) -> None:
    """Writes both SavedModels with warm-up requests and records, and the settings of the server.

    Args:
        folder: The export in the making.
        encoders: Encoders of the run.
        number: Version of the export.
    """
    examples = _examples(encoders)
    described = describe_encoders(encoders)
    record = {"version": number, "space": embedding_space(encoders)}
    for name, signatures in signatures_of(encoders).items():
        target = folder / "savedmodel" / name / str(number)
        write_savedmodel(target, signatures)
        write_warmup(target, name, signatures, examples[name])
        write_record(target, {**record, "model": name, **described[name]})
    (folder / "tf_serving").mkdir()
    for name in _SETTINGS:
        data = (resources.files("mite_tf.serving") / "tf_serving" / name).read_bytes()
        (folder / "tf_serving" / name).write_bytes(data)


def _examples(encoders: Encoders) -> dict[str, dict[str, Any]]:
    """One row of input for each signature."""
    caption = "Two dogs run across the wet sand."
    ids = encoders.tokenizer.table([caption]).ids[0]
    text = {"serving_default": caption, "token_ids": ids}
    if encoders.preprocessing is None:
        features = np.zeros(encoders.image_encoder.input_shape[1:], np.float32)
        return {"text": text, "image": dict.fromkeys(("serving_default", "features"), features)}
    pixels = np.full((32, 32, 3), 127, np.uint8)  # any size is resized
    file = images()["photo.jpg"]
    image = {"serving_default": file, "pixels": pixels, "pixels_uint8": pixels}
    return {"text": text, "image": image}


def write_onnx(folder: Path, encoders: Encoders) -> None:
    """Writes both encoders into `onnx`."""
    from mite_tf.export.onnx.convert import convert_image_encoder, convert_text_encoder

    (folder / "onnx").mkdir()
    convert_image_encoder(folder / "onnx" / "image_encoder.onnx", encoders.image_encoder)
    convert_text_encoder(
        folder / "onnx" / "text_encoder.onnx", encoders.text_encoder, encoders.tokenizer.max_length
    )


def write_int8(folder: Path, run: Run, encoders: Encoders, table: CaptionedImages) -> None:
    """Quantises both files in `onnx`, the image encoder with images of the train split.

    Args:
        folder: The export in the making.
        run: The run.
        encoders: Its encoders.
        table: Its captioned images.
    """
    from mite_tf.export.onnx.quantize import quantize_dynamically, quantize_statically

    onnx = folder / "onnx"
    quantize_dynamically(onnx / "text_encoder.onnx", onnx / "text_encoder.int8.onnx")
    paths = onnx / "image_encoder.onnx", onnx / "image_encoder.int8.onnx"
    if encoders.preprocessing is None:
        quantize_dynamically(*paths)
        return
    train = table.split("train") if "train" in table.splits else table
    step = max(1, len(train) // _CALIBRATION_IMAGES)
    sample = replace(train, rows=train.rows[::step][:_CALIBRATION_IMAGES])
    quantize_statically(*paths, image_inputs(run, sample, encoders.preprocessing, batch_size=16))
