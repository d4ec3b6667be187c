"""A bidirectional GRU as ONNX's own operator.

tf2onnx turns it into two `Loop`s (onnx/tensorflow-onnx#1684), which are several times slower.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from onnx import TensorProto

_MARKER = "PyFuncStateless"


def mark_gru(model: keras.Model) -> keras.Model:
    """Puts a marker where a model has a bidirectional GRU, for `write_gru` to find.

    Args:
        model: Functional model; it is left as it is.

    Returns:
        Model that shares all other layers. It can be converted, not called.
    """
    return keras.models.clone_model(
        model,
        clone_function=lambda layer: (
            _Marker(layer.forward_layer.units, name=layer.name)
            if isinstance(layer, keras.layers.Bidirectional)
            else layer
        ),
    )


def write_gru(model: keras.Model) -> dict[str, Any]:
    """Returns the handler that makes tf2onnx write `GRU` where `mark_gru` left a marker.

    Padding must lie behind the words, as the tokenizer puts it: the operator takes the length of
    each row.

    Args:
        model: The model whose weights to write.
    """
    grus = [layer for layer in model.layers if isinstance(layer, keras.layers.Bidirectional)]
    if not grus:
        return {}
    [gru] = grus
    units, values = gru.forward_layer.units, _weights(gru)

    def handler(context: Any, node: Any, name: str, _arguments: Any) -> None:
        words, mask = node.input
        [output] = node.output
        context.remove_node(node.name)

        def constant(label: str, value: np.ndarray) -> str:
            return context.make_const(f"{name}_{label}", value).output[0]

        def operator(kind: str, inputs: list[str], **attributes: Any) -> Any:
            return context.make_node(kind, inputs, attr=attributes)

        counted = operator("Cast", [mask], to=TensorProto.INT32).output[0]
        axis = constant("axis", np.array([1], np.int64))
        lengths = operator("ReduceSum", [counted, axis], keepdims=0).output[0]
        steps_first = operator("Transpose", [words], perm=[1, 0, 2]).output[0]
        weights = [constant(label, value) for label, value in values.items()]
        states = operator(
            "GRU",
            [steps_first, *weights, lengths],
            direction="bidirectional",
            hidden_size=units,
            linear_before_reset=1,
        ).output[0]
        # [steps, directions, rows, units]: the mean of both directions, rows first.
        mean = operator("ReduceMean", [states, axis], keepdims=0).output[0]
        context.make_node(
            "Transpose", [mean], attr={"perm": [1, 0, 2]}, name=node.name,
            outputs=[output], shapes=[[-1, -1, units]], dtypes=[TensorProto.FLOAT],
        )  # fmt: skip

    return {_MARKER: (handler, [])}


def _weights(gru: keras.layers.Bidirectional) -> dict[str, np.ndarray]:
    """Kernel, recurrent kernel and biases of both directions; gates are z, r, h in both."""
    cells = [gru.forward_layer.cell, gru.backward_layer.cell]
    return {
        "W": np.stack([cell.kernel.numpy().T for cell in cells]),
        "R": np.stack([cell.recurrent_kernel.numpy().T for cell in cells]),
        "B": np.stack([cell.bias.numpy().flatten() for cell in cells]),
    }


class _Marker(keras.layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        states = tf.numpy_function(_not_for_calls, [inputs, mask], tf.float32, stateful=False)
        states.set_shape((*inputs.shape[:-1], self.units))
        return states

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)


def _not_for_calls(*_: Any) -> Any:
    raise RuntimeError("A marked model can be converted, not called.")
