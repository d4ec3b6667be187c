"""Requests that a new version answers before it takes traffic, and how light its calls are."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.backends import Backend, Rows, Signature
from mite_tf.serving.wire.messages import PredictionLog
from mite_tf.serving.wire.tensors import to_array

_FILE = "assets.extra/tf_serving_warmup_requests"
# TensorFlow Serving takes no more (servables/tensorflow/saved_model_warmup_util.h).
_MOST = 1000
_CAPTION = b"two dogs run across the wet sand , and a girl in a red coat throws them a ball ."
# The first call allocates, and other programs disturb the second.
_ROUNDS = 3
# A thread may have to wait so long for the lock of the interpreter.
_LIGHT_SECONDS = 2e-3


def warm(backend: Backend, export: Path) -> None:
    """Replays the warm-up requests of an export, or made-up ones where it has none.

    Args:
        backend: The backend to warm.
        export: Export folder.

    Raises:
        MiteError: If the backend cannot answer one, or gives something else than embeddings.
    """
    path = export / "savedmodel" / backend.name / str(backend.version) / _FILE
    requests = list(_recorded(path)) if path.is_file() else list(_made_up(backend))
    for signature, array in requests:
        rows = backend.prepare(signature, array)
        embedding = backend.run(rows)
        expected = (len(array), backend.embedding_size)
        if embedding.shape != expected or not np.isfinite(embedding).all():
            raise MiteError(
                f"{backend.name} version {backend.version}: {signature} gives an array of shape "
                f"{list(embedding.shape)} where finite embeddings {list(expected)} are due."
            )


def light_rows(backend: Backend, most: int) -> int:
    """Returns how many rows a call may have to be done sooner than a thread would have begun it.

    Args:
        backend: A warm backend.
        most: Rows of the largest call.
    """
    name, array = next(_made_up(backend))
    light = 0
    for rows in (most >> shift for shift in reversed(range(most.bit_length()))):
        prepared = backend.prepare(name, np.repeat(array, rows, axis=0))
        if min(_seconds(backend, prepared) for _ in range(_ROUNDS)) > _LIGHT_SECONDS:
            break
        light = rows
    return light


def _seconds(backend: Backend, rows: Rows) -> float:
    start = time.perf_counter()
    backend.run(rows)
    return time.perf_counter() - start


def _recorded(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    data = path.read_bytes()
    offset = count = 0
    # A TFRecord: length, its checksum, the record, its checksum.
    while offset < len(data) and count < _MOST:
        (length,) = struct.unpack_from("<Q", data, offset)
        log = PredictionLog.FromString(data[offset + 12 : offset + 12 + length])
        offset += length + 16
        count += 1
        request = log.predict_log.request
        for tensor in request.inputs.values():
            yield request.model_spec.signature_name or "serving_default", to_array(tensor)


def _made_up(backend: Backend) -> Iterator[tuple[str, np.ndarray]]:
    for name, signature in backend.signatures.items():
        if signature.input != "image_bytes":
            yield name, _example(signature)


def _example(signature: Signature) -> np.ndarray:
    shape = [1, *(8 if size is None else size for size in signature.shape[1:])]
    value: Any = _CAPTION if signature.dtype == "string" else 1
    return np.full(shape, value, object if signature.dtype == "string" else signature.dtype)
