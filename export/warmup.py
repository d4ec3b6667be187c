"""Requests that TensorFlow Serving replays when it loads a version, so that none waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mite_tf.export.signatures import Signature

_FILE = "assets.extra/tf_serving_warmup_requests"
# A call with a new batch size may allocate anew.
_BATCHES = (1, 8, 32)


def write_warmup(
    folder: str | Path,
    model: str,
    signatures: Mapping[str, Signature],
    examples: Mapping[str, Any],
) -> None:
    """Writes one request for each signature and batch size into a SavedModel.

    Args:
        folder: The SavedModel.
        model: Name under which it will be served.
        signatures: Its signatures.
        examples: One row of input for each signature.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = Path(folder) / _FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            for count in _BATCHES:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = name
                rows = np.stack([np.asarray(examples[name])] * count)
                request.inputs[signature.input.name].CopyFrom(
                    tf.make_tensor_proto(rows, signature.input.dtype)
                )
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def read_warmup(folder: str | Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields signature, input name and tensor of each request in a SavedModel."""
    from tensorflow_serving.apis import prediction_log_pb2

    for record in tf.data.TFRecordDataset(str(Path(folder) / _FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        [(name, tensor)] = request.inputs.items()
        yield request.model_spec.signature_name, name, tf.make_ndarray(tensor)
