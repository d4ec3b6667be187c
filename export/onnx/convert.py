"""A Keras encoder to an ONNX file."""

from __future__ import annotations

import logging
import math
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
_LARGE = 1 << 18  # values of a weight


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
    marked = rewrites.mark_gru(encoder)
    tables = _tables(marked)

    def embed(inputs: list[Any]) -> Any:
        rows, *values = inputs
        known = dict(zip(map(id, tables.values()), values, strict=True))
        kinds = marked.trainable_variables, marked.non_trainable_variables
        weights = [[known.get(id(each), each.value) for each in kind] for kind in kinds]
        return marked.stateless_call(*weights, prepare(rows), training=False)[0]

    rows = keras.Input(specification.shape[1:], dtype=specification.dtype.name)
    given = [keras.Input(batch_shape=each.shape) for each in tables.values()]
    shape = marked.output_shape[1:]
    embedding = keras.layers.Lambda(embed, output_shape=shape, name="embedding")([rows, *given])
    whole = keras.Model([rows, *given], embedding)
    log = logging.getLogger("tf2onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it cannot convert is found below
    try:
        with rewrites.functions_inlined():
            model, _ = tf2onnx.convert.from_keras(
                whole,
                [specification, *(tf.TensorSpec(v.shape, v.dtype, n) for n, v in tables.items())],
                opset=OPSET,
                custom_op_handlers=rewrites.write_gru(encoder) | rewrites.write_erfc(),
                optimizers=rewrites.optimizers(),
            )
        _fill_in(model.graph, tables)
        rewrites.write_products(model.graph)
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


def _tables(model: keras.Model) -> dict[str, keras.Variable]:
    """The large weights that only multiply or are looked up, by names for the conversion.

    It gets these as inputs: it would copy each constant some seventy times, and keep the copies.
    """
    layers = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)
    found = {
        id(variable): variable
        for layer in model._flatten_layers()
        if isinstance(layer, layers)
        for variable in layer.variables
        if math.prod(variable.shape) >= _LARGE
    }
    return {f"table{number}": variable for number, variable in enumerate(found.values())}


def _fill_in(graph: onnx.GraphProto, tables: dict[str, keras.Variable]) -> None:
    """Makes constants of the inputs that `_tables` names, and drops what nothing takes."""
    for each in [each for each in graph.input if each.name in tables]:
        graph.input.remove(each)
    taken = {*rewrites.taken(graph)}
    for name, variable in tables.items():
        if name in taken:
            graph.initializer.append(onnx.numpy_helper.from_array(variable.numpy(), name))
