"""SavedModels, run by TensorFlow in this process."""

from __future__ import annotations

import gc
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.quiet import load_tensorflow
from mite_tf.serving.backends.backend import MAX_IMAGE_PIXELS, Backend, Rows

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


# no example: made by `open_backend` from an export folder.
class SavedModelBackend(Backend):
    """One SavedModel. Images are decoded before it, so that a bad one fails its own request alone.

    Args:
        manifest: Manifest of its export.
        model: `image` or `text`.
        folder: Folder that holds `saved_model.pb`.
        threads: Threads of one call; as many as there are cores by default. The first model of
            a process decides for all.
        max_image_pixels: Width times height beyond which an image is refused.

    Raises:
        MiteError: If the folder cannot be loaded.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: str,
        folder: Path,
        *,
        threads: int = 0,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ) -> None:
        super().__init__(manifest, model, max_image_pixels=max_image_pixels)
        if threads:
            with suppress(RuntimeError):  # TensorFlow runs already
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            self._model: Any = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{folder}: not a readable SavedModel: {error}") from error
        self._functions: dict[Hashable, Any] = {
            key: self._model.signatures[name]
            for key, name in _SIGNATURES.items()
            if name in self._model.signatures
        }

    def run(self, rows: Rows) -> np.ndarray:
        key = rows.key[0] if isinstance(rows.key, tuple) else rows.key
        function = self._functions[key]
        [(name, specification)] = function.structured_input_signature[1].items()
        inputs = {name: tf.constant(rows.values, specification.dtype)}
        return function(**inputs)["embedding"].numpy()

    def close(self) -> None:
        del self._model, self._functions
        gc.collect()  # what TensorFlow loads refers to itself, and would stay for long
