"""Running LiteRT and OpenVINO files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Embed = Callable[[np.ndarray], np.ndarray]


def load_litert(path: str | Path) -> Embed:
    """Returns a function from a batch to float32 `[N, D]`, run row by row."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    [inputs], [outputs] = interpreter.get_input_details(), interpreter.get_output_details()

    def embed(batch: np.ndarray) -> np.ndarray:
        rows = []
        for row in batch:
            interpreter.resize_tensor_input(inputs["index"], (1, *row.shape))
            interpreter.allocate_tensors()
            interpreter.set_tensor(inputs["index"], row[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(outputs["index"]))
        return np.concatenate(rows)

    return embed


def load_openvino(path: str | Path) -> Embed:
    """Returns a function from a batch to float32 `[N, D]`.

    In float32: by default OpenVINO takes bfloat16 where the processor has it, and an embedding
    moves by 0.001 to 0.05.
    """
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: np.asarray(model([batch])[0])
