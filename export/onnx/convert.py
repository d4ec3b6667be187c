"""A Keras encoder to an ONNX file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx

from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.export.onnx import rewrites
from mite_tf.export.signatures import checked_ids, checked_rows, vocabulary_size

# The highest that tf2onnx 1.17 writes; onnxruntime and OpenVINO read newer ones too.
OPSET = 18


def write_onnx(folder: Path, encoders: Encoders) -> None:
    """Writes both encoders into `onnx`, a folder of the export in the making."""
    (folder / "onnx").mkdir()
    convert_image_encoder(folder / "onnx" / "image_encoder.onnx", encoders.image_encoder)
    convert_text_encoder(
        folder / "onnx" / "text_encoder.onnx", encoders.text_encoder, encoders.tokenizer.max_length
    )


def convert_image_encoder(path: str | Path, encoder: keras.Model) -> None:
    """Writes the image encoder: `pixels` float32 `[N, H, W, 3]` in 0-255 to `embedding`.

    An encoder that starts at features takes `features` instead. An empty batch is refused.

    Raises:
        MiteError: If an operation cannot be converted.
    """
    [inputs] = encoder.inputs
    specification = tf.TensorSpec(inputs.shape, tf.float32, inputs.name)
    _convert(path, encoder, checked_rows, specification)


def convert_text_encoder(path: str | Path, encoder: keras.Model, max_length: int) -> None:
    """Writes the text encoder: `token_ids` int32 `[N, L]`, padded with 0, to `embedding`.

    Columns behind `max_length` are cut off. Numbers that are no ids are refused, and so is an empty
    batch.

    Raises:
        MiteError: If an operation cannot be converted.
    """
    specification = tf.TensorSpec((None, None), tf.int32, "token_ids")
    size = vocabulary_size(encoder)
    _convert(path, encoder, lambda ids: checked_ids(ids, max_length, size), specification)


def _convert(
    path: str | Path, encoder: keras.Model, prepare: Any, specification: tf.TensorSpec
) -> None:
    inputs = keras.Input(specification.shape[1:], dtype=specification.dtype.name)
    prepared = keras.layers.Lambda(prepare, output_shape=specification.shape[1:])(inputs)
    embedding = keras.layers.Identity(name="embedding")(rewrites.mark_gru(encoder)(prepared))
    whole = keras.Model(inputs, embedding)
    log = logging.getLogger("tf2onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it cannot convert is found below
    try:
        with rewrites.functions_inlined():
            model, _ = tf2onnx.convert.from_keras(
                whole,
                [specification],
                opset=OPSET,
                custom_op_handlers=rewrites.write_gru(encoder) | rewrites.write_erfc(),
                optimizers=rewrites.optimizers(),
            )
        onnx.checker.check_model(model, full_check=True)
    except (
        ValueError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise MiteError(f"{encoder.name} cannot be converted to ONNX: {error}") from error
    finally:
        log.setLevel(level)
    model.graph.name = encoder.name
    onnx.save(model, str(path))
