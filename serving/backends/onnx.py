"""ONNX files, run by ONNX Runtime; texts are cut by `tokenizers`. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from mite_tf.errors import MiteError
from mite_tf.serving.backends.backend import Rows, Signature
from mite_tf.serving.backends.inputs import Inputs
from mite_tf.serving.backends.words import Words


class OnnxBackend:
    """One encoder in ONNX, with the tokenizer or the preprocessing that belongs before it.

    Args:
        name: `image` or `text`.
        version: Version of the export.
        embedding_size: Size D of the embeddings.
        inputs: Makes rows of what the signatures take.
        model: Contents of the `.onnx` file.
        tokenizer: Contents of `tokenizer.json`; None for images.
        threads: Threads of one call; as many as there are cores by default.

    Raises:
        MiteError: If the contents cannot be loaded.
    """

    def __init__(
        self,
        *,
        name: str,
        version: int,
        embedding_size: int,
        inputs: Inputs,
        model: bytes,
        tokenizer: bytes | None,
        threads: int = 0,
    ) -> None:
        self.name = name
        self.version = version
        self.embedding_size = embedding_size
        self.signatures: Mapping[str, Signature] = inputs.signatures
        self.prepare = inputs.prepare
        self.is_light = inputs.is_light
        self._session = _session(model, threads)
        [self._input] = [each.name for each in self._session.get_inputs()]
        self._words = Words(tokenizer, inputs.max_length) if tokenizer else None

    def run(self, rows: Rows) -> np.ndarray:
        """Embeds rows; returns float32 `[N, D]`."""
        values = self._words.ids(rows.values) if self._words and rows.key == "text" else rows.values
        [embedding] = self._session.run(["embedding"], {self._input: values})
        return embedding

    def close(self) -> None:
        """Frees the model."""
        del self._session


def _session(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from those who bring the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has one class for each kind, without a base
        raise MiteError(f"onnxruntime cannot load the model: {error}") from error
