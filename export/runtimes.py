"""Exported encoders, loaded for calls with arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.formats import refuse_pattern

Embed = Callable[[Any], np.ndarray]
_TYPES = {"float": "float32"}  # ONNX Runtime's names of types, where NumPy's differ


class SavedModel:
    """A SavedModel, of the folder that holds `saved_model.pb`."""

    def __init__(self, folder: str | Path) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  (registers the operations of the tokenizer)

        refuse_pattern(folder)
        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{folder}: not a readable SavedModel: {error}") from error

    def signatures(self) -> dict[str, dict[str, Any]]:
        """Returns input, shape and type of each signature, as a manifest has them."""
        return {
            signature: {"input": name, "shape": each.shape.as_list(), "dtype": each.dtype.name}
            for signature, function in self._model.signatures.items()
            for name, each in function.structured_input_signature[1].items()
        }

    def embed(self, inputs: Any, signature: str = "serving_default") -> np.ndarray:
        """Calls a signature with one array or list; returns float32 `[N, D]`."""
        import tensorflow as tf

        function = self._model.signatures.get(signature)
        if function is None:
            there = ", ".join(sorted(self._model.signatures))
            raise MiteError(f"Unknown signature {signature!r}; there are {there}.")
        [(name, specification)] = function.structured_input_signature[1].items()
        wanted = specification.dtype
        # A conversion must not lose anything.
        if isinstance(inputs, np.ndarray) and not (
            inputs.dtype.kind in "OSU"
            if wanted == tf.string
            else np.can_cast(inputs.dtype, wanted.as_numpy_dtype, "same_kind")
        ):
            raise MiteError(f"{signature} takes {name} as {wanted.name}; received {inputs.dtype}.")
        try:
            tensor = tf.convert_to_tensor(inputs, wanted)
            return function(**{name: tensor})["embedding"].numpy()
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise MiteError(f"{signature} refuses {name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The sentence of a TensorFlow error that says what was wrong with the input."""
    lines = [line.strip() for line in str(error).splitlines()]
    scaffold = ("", "Graph execution error:", "<stack traces unavailable>")
    told = [line for line in lines if line not in scaffold and not line.startswith("[[")]
    return next((line for line in told if not line.startswith("Detected at")), str(error))


class OnnxEncoder:
    """An ONNX file; needs onnxruntime and NumPy alone. 0 threads are as many as there are cores."""

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what it refuses is raised, too
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has one class for each kind, without a base
            raise MiteError(f"{path}: onnxruntime cannot load it: {error}") from error
        [self._input] = self._session.get_inputs()

    def input(self) -> dict[str, Any]:
        """Returns name, shape and type of what it takes, as a manifest has them."""
        shape = [size if isinstance(size, int) else None for size in self._input.shape]
        dtype = self._input.type.removeprefix("tensor(").removesuffix(")")
        return {"input": self._input.name, "shape": shape, "dtype": _TYPES.get(dtype, dtype)}

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Embeds token ids, pixels or features; returns float32 `[N, D]`."""
        try:
            [embedding] = self._session.run(["embedding"], {self._input.name: inputs})
        except Exception as error:
            # The name of the operation that fails says what the graph refuses.
            found = re.search(r"refuses_(\w+)", str(error))
            why = found[1].replace("_", " ") if found else error
            raise MiteError(f"{self._input.name} is refused: {why}") from error
        return embedding


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
