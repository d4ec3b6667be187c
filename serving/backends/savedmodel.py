"""SavedModels, run by TensorFlow in this process."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.formats import refuse_pattern
from mite_tf.export.manifest import Manifest
from mite_tf.quiet import load_tensorflow
from mite_tf.serving.backends.backend import Backend, Rows

load_tensorflow()

import tensorflow as tf  # noqa: E402
import tensorflow_text  # noqa: E402, F401  (registers the operations of the tokenizer)


# no example: made by `open_backend` from an export folder.
class SavedModelBackend(Backend):
    """One SavedModel. Images are decoded before it, so that a bad one fails its own request alone.

    The first model of a process decides on the threads of all.
    """

    def __init__(
        self, manifest: Manifest, model: str, folder: Path, threads: int, max_image_pixels: int
    ) -> None:
        super().__init__(manifest, model, max_image_pixels)
        if threads:
            with suppress(RuntimeError):  # TensorFlow runs already
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        refuse_pattern(folder)
        try:
            self._model: Any = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{folder}: not a readable SavedModel: {error}") from error

    def run(self, rows: Rows) -> np.ndarray:
        key = rows.key[0] if isinstance(rows.key, tuple) else rows.key
        function = self._model.signatures["serving_default" if key == "text" else key]
        [(name, specification)] = function.structured_input_signature[1].items()
        inputs = {name: tf.constant(rows.values, specification.dtype)}
        return function(**inputs)["embedding"].numpy()

    def close(self) -> None:
        del self._model
        gc.collect()  # what TensorFlow loads refers to itself, and would stay for long
