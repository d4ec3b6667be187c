"""Running an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from mite_tf.errors import MiteError


class OnnxEncoder:
    """An encoder in ONNX, loaded for calls with arrays; needs onnxruntime and NumPy alone.

    Args:
        path: The `.onnx` file.
        threads: Threads of one call; as many as there are cores by default.

    Raises:
        MiteError: If the file cannot be loaded.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has one class for each kind, without a base
            raise MiteError(f"{path}: onnxruntime cannot load it: {error}") from error
        [self.input] = self._session.get_inputs()

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Embeds token ids, pixels or features; returns float32 `[N, D]`.

        Raises:
            MiteError: If the model refuses the input.
        """
        try:
            [embedding] = self._session.run(["embedding"], {self.input.name: inputs})
        except Exception as error:
            raise MiteError(f"{self.input.name} is refused: {error}") from error
        return embedding
