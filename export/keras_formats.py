"""LiteRT and OpenVINO, by the exporters of Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.export.signatures import checked_ids, vocabulary_size
from mite_tf.files import refusal_of_disk

_SUFFIXES = {"litert": ".tflite", "openvino": ".xml"}


def write_keras_format(folder: Path, encoders: Encoders, name: str) -> None:
    """Writes both encoders into a folder called like the format.

    LiteRT runs no operations of a varying shape, so its text encoder takes one caption at a time,
    padded with 0 to `max_length` ids.

    Numbers that are no token ids are refused by LiteRT; OpenVINO gives NaN for their captions.

    Raises:
        MiteError: If the format has no place for a model.
    """
    max_length = encoders.tokenizer.max_length
    text_shape = (1, max_length) if name == "litert" else (None, None)
    (folder / name).mkdir()
    for encoder, specification in (
        (encoders.image_encoder, tf.TensorSpec(encoders.image_encoder.input_shape, tf.float32)),
        (_checked(encoders.text_encoder, max_length, name), tf.TensorSpec(text_shape, tf.int32)),
    ):
        path = folder / name / f"{encoder.name}{_SUFFIXES[name]}"
        try:
            encoder.export(str(path), format=name, verbose=False, input_signature=[specification])
        except Exception as error:  # each converter has its own classes, without a base
            if refusal_of_disk(error) is not None:
                raise
            raise MiteError(
                f"The {encoder.name.replace('_', ' ')} cannot be written for {name}: "
                f"{_last_line(error)} Leave {name} out of the formats."
            ) from error


def _checked(encoder: keras.Model, max_length: int, form: str) -> keras.Model:
    """Returns a text encoder that gives no embedding for what is no token id."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    size = vocabulary_size(encoder)
    if form == "openvino":
        # After an error of its own OpenVINO 2026.4 may go on, with what the last call has left.
        inside = ops.clip(ids, 0, size - 1)
        embedding = encoder(inside)
        wrong = ops.any(ops.not_equal(ids, inside), axis=1, keepdims=True)
        embedding = ops.where(wrong, embedding * float("nan"), embedding)
    else:
        check = keras.layers.Lambda(
            lambda ids: checked_ids(ids, max_length, size), output_shape=(None,)
        )
        embedding = encoder(check(ids))
    return keras.Model(ids, embedding, name=encoder.name)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("--")] or lines
    return told[-1].lstrip("- ").rstrip(".") + "." if told else repr(error)
