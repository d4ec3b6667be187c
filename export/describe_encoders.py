"""What a folder says of its two encoders: hashes, inputs and outputs, the space they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from mite_tf.data.feature_cache import fingerprint_of_model
from mite_tf.export.signatures import signatures_of
from mite_tf.files import write_text

if TYPE_CHECKING:
    from mite_tf.encoders import Encoders

RECORD = "assets.extra/mite_tf.json"


def describe_encoders(encoders: Encoders, formats: Collection[str] = ()) -> dict[str, Any]:
    """Returns what the manifest says of each encoder, `image` and `text`.

    Args:
        encoders: The encoders.
        formats: Names of the exported forms.

    Returns:
        For each its hash (`encoder`), its `output`, its `signatures` and, with ONNX, `onnx`: the
        files, and what they take. Of sizes, None is any.
    """
    models = {"image": encoders.image_encoder, "text": encoders.text_encoder}
    described: dict[str, Any] = {}
    for name, signatures in signatures_of(encoders).items():
        size = models[name].output_shape[-1]
        described[name] = {
            "encoder": fingerprint_of_model(models[name]),
            "output": {"output": "embedding", "shape": [None, size], "dtype": "float32"},
            "signatures": {key: _described(each.input) for key, each in signatures.items()},
        }
        if "onnx" in formats:
            described[name]["onnx"] = {
                "file": f"onnx/{name}_encoder.onnx",
                **({"int8": f"onnx/{name}_encoder.int8.onnx"} if "int8" in formats else {}),
                **_described(_onnx_input(encoders, name)),
            }
    return described


def embedding_space(encoders: Encoders) -> str:
    """Returns a hash of all that decides an embedding: equal spaces can be compared.

    It is made of the weights and layers of both encoders, the preprocessing and the tokenizer;
    the form does not matter, so SavedModel, ONNX and int8 of one export share a space.
    """
    tokenizer = encoders.tokenizer
    whole = {
        "image": fingerprint_of_model(encoders.image_encoder),
        "text": fingerprint_of_model(encoders.text_encoder),
        "preprocessing": encoders.preprocessing and encoders.preprocessing.to_dict(),
        "vocabulary": tokenizer.vocabulary,
        "max_length": tokenizer.max_length,
        "lower_case": tokenizer.lower_case,
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def write_record(savedmodel: Path, record: dict[str, Any]) -> None:
    """Writes what is known of an encoder beside its SavedModel.

    The manifest speaks of the newest version; this stays with its own.

    Args:
        savedmodel: Folder of the SavedModel.
        record: Model, version, space, and what `describe_encoders` says.
    """
    write_text(savedmodel / RECORD, json.dumps(record, indent=2) + "\n")


def _described(specification: tf.TensorSpec) -> dict[str, Any]:
    return {
        "input": specification.name,
        "shape": specification.shape.as_list(),
        "dtype": specification.dtype.name,
    }


def _onnx_input(encoders: Encoders, name: str) -> tf.TensorSpec:
    if name == "text":
        return tf.TensorSpec((None, None), tf.int32, "token_ids")
    [inputs] = encoders.image_encoder.inputs
    return tf.TensorSpec(inputs.shape, tf.float32, inputs.name)
