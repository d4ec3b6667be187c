"""Writing the SavedModels: what TensorFlow Serving loads as it is, and warms up with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.export.describe import describe_encoders, embedding_space
from mite_tf.export.signatures import Endpoint, signatures_of
from mite_tf.export.verification.cases import images
from mite_tf.files import write_text

RECORD = "assets.extra/mite_tf.json"
WARMUP = "assets.extra/tf_serving_warmup_requests"
# A call with a new batch size may allocate anew.
_BATCHES = (1, 8, 32)
# What an export takes of the server's own files.
_SETTINGS = ("models.config", "batching.config", "monitoring.config")


def write_savedmodels(folder: Path, encoders: Encoders, number: int) -> None:
    """Writes both SavedModels with warm-up requests and records, and the settings of the server."""
    examples = _examples(encoders)
    described = describe_encoders(encoders)
    common = {"version": number, "space": embedding_space(encoders)}
    for name, endpoints in signatures_of(encoders).items():
        target = folder / "savedmodel" / name / str(number)
        write_savedmodel(target, endpoints)
        _write_warmup(target, name, endpoints, examples[name])
        # The manifest speaks of the newest version; this stays with its own.
        record = json.dumps({**common, "model": name, **described[name]}, indent=2)
        write_text(target / RECORD, f"{record}\n")
    (folder / "tf_serving").mkdir()
    # Files for the operator, which lie beside the code of serving; none of that code is needed.
    settings = resources.files("mite_tf.serving") / "tf_serving"
    for file in _SETTINGS:
        (folder / "tf_serving" / file).write_bytes((settings / file).read_bytes())


def write_savedmodel(folder: str | Path, endpoints: Mapping[str, Endpoint]) -> None:
    """Writes one encoder as a SavedModel, with the functions of its signatures.

    Raises:
        MiteError: If the graph needs an operation that a stock server lacks.
    """
    # Without `track`, which would store every weight a second time.
    archive = keras.export.ExportArchive()
    for name, endpoint in endpoints.items():
        archive.add_endpoint(name, endpoint.function, input_signature=[endpoint.input])
    archive.write_out(str(folder), verbose=False)
    check_ops(folder)


def ops_of(savedmodel: str | Path) -> set[str]:
    """Returns the names of all operations in the graph and functions of a SavedModel."""
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((Path(savedmodel) / "saved_model.pb").read_bytes())
    ops = set()
    for meta_graph in message.meta_graphs:
        graph = meta_graph.graph_def
        functions = {function.signature.name for function in graph.library.function}
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        ops |= {node.op for node in nodes} - functions
    return ops


def check_ops(savedmodel: str | Path) -> None:
    """Refuses a SavedModel that a stock TensorFlow Serving could not load.

    Core operations are those of `tf.raw_ops`; those of TensorFlow Text that the server links are
    listed in `serving_ops.json`, with their source.
    """
    listed = json.loads(resources.files(__package__).joinpath("serving_ops.json").read_text())
    missing = ops_of(savedmodel) - set(dir(tf.raw_ops)) - set(listed["tensorflow_text"])
    if missing:
        raise MiteError(
            f"{savedmodel}: needs operations that TensorFlow Serving does not link: "
            f"{', '.join(sorted(missing))}. See serving_ops.json for those it does."
        )


def _write_warmup(
    folder: Path, model: str, endpoints: Mapping[str, Endpoint], examples: Mapping[str, Any]
) -> None:
    """Writes requests that the server replays when it loads a version, so that no user waits."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    (folder / WARMUP).parent.mkdir()
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        for name, endpoint in endpoints.items():
            for count in _BATCHES:
                rows = np.stack([np.asarray(examples[name])] * count)
                tensor = tf.make_tensor_proto(rows, endpoint.input.dtype)
                request = predict_pb2.PredictRequest(
                    model_spec={"name": model, "signature_name": name},
                    inputs={endpoint.input.name: tensor},
                )
                log = prediction_log_pb2.PredictionLog(predict_log={"request": request})
                writer.write(log.SerializeToString())


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
