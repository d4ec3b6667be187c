"""SavedModels, run by TensorFlow in this process."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.quiet import load_tensorflow
from mite_tf.serving.backends.backend import Rows, Signature
from mite_tf.serving.backends.inputs import Inputs

load_tensorflow()

import tensorflow as tf  # noqa: E402
import tensorflow_text  # noqa: E402, F401  (registers the operations of the tokenizer)

# Which signature computes rows of which key.
_SIGNATURES = {
    "text": "serving_default",
    "token_ids": "token_ids",
    "pixels": "pixels",
    "features": "features",
}


class SavedModelBackend:
    """One SavedModel. Images are decoded before, so that a bad one fails its own request alone.

    Args:
        name: `image` or `text`.
        version: Version of the export.
        embedding_size: Size D of the embeddings.
        inputs: Makes rows of what the signatures take.
        folder: Folder that holds `saved_model.pb`.
        threads: Threads of one call; as many as there are cores by default. The first model of
            a process decides for all.

    Raises:
        MiteError: If the folder cannot be loaded.
    """

    def __init__(
        self,
        *,
        name: str,
        version: int,
        embedding_size: int,
        inputs: Inputs,
        folder: Path,
        threads: int = 0,
    ) -> None:
        self.name = name
        self.version = version
        self.embedding_size = embedding_size
        self.signatures: Mapping[str, Signature] = inputs.signatures
        self.prepare = inputs.prepare
        self.is_light = inputs.is_light
        if threads:
            with suppress(RuntimeError):  # TensorFlow runs already
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{folder}: not a readable SavedModel: {error}") from error
        self._functions = {
            key: self._model.signatures[name]
            for key, name in _SIGNATURES.items()
            if name in self._model.signatures
        }

    def run(self, rows: Rows) -> np.ndarray:
        """Embeds rows; returns float32 `[N, D]`."""
        key = rows.key[0] if isinstance(rows.key, tuple) else rows.key
        function = self._functions[key]
        [(name, specification)] = function.structured_input_signature[1].items()
        return function(**{name: tf.constant(rows.values, specification.dtype)})[
            "embedding"
        ].numpy()

    def close(self) -> None:
        """Frees the model."""
        del self._model, self._functions
        gc.collect()  # what TensorFlow loads refers to itself, and would stay for long
