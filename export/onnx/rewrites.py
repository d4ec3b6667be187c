"""What tf2onnx cannot convert, or converts badly, written another way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto
from tf2onnx import optimizer
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

_MARKER = "PyFuncStateless"


@contextmanager
def functions_inlined() -> Iterator[None]:
    """Traces the bodies of functions into the graph that calls them, while the block runs.

    Keras calls grouped convolutions, as ConvNeXt has them, through a function that XLA is to
    compile; tf2onnx leaves such calls as they are.
    """
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eager)


def optimizers() -> dict[str, Any]:
    """Returns tf2onnx's optimizers of a graph, in order.

    `einsum_optimizer` is left out: it takes each `Einsum` of a pooling apart into sixteen
    operations, some with shapes that OpenVINO refuses, and nothing gets faster.
    """
    ours = {TransposeOptimizer: _ScalarSafeTransposeOptimizer}
    return {
        name: ours.get(each, each)
        for name, each in optimizer._get_optimizers().items()
        if name != "einsum_optimizer"
    }


class _ScalarSafeTransposeOptimizer(TransposeOptimizer):
    """Moves transposes past the addition of a scalar, as in the hard swish of MobileNetV3.

    The original takes any constant added to a convolution for its bias and fails on the shape of
    a scalar (compare onnx/tensorflow-onnx#1729), which leaves all transposes where they are.
    """

    def _add_handler(self, trans: Any, node: Any) -> Any:
        constant = node.inputs[1]
        if constant.is_const() and constant.get_tensor_value(as_list=False).ndim == 0:
            return self._handle_node_having_branches(trans, node)
        return super()._add_handler(trans, node)


def write_erfc() -> dict[str, Any]:
    """Returns the handler that makes tf2onnx write `Erfc` as 1 - `Erf`.

    The exact GELU needs it, and ONNX has no such operator (onnx/tensorflow-onnx#2347).
    """

    def handler(context: Any, node: Any, name: str, _arguments: Any) -> None:
        [output] = node.output
        shape, dtype = context.get_shape(output), context.get_dtype(output)
        [value] = node.input
        context.remove_node(node.name)
        one = context.make_const(f"{name}_one", np.ones((), np.float32)).output[0]
        erf = context.make_node("Erf", [value]).output[0]
        context.make_node(
            "Sub", [one, erf], name=node.name, outputs=[output], shapes=[shape], dtypes=[dtype]
        )

    return {"Erfc": (handler, [])}


def write_products(graph: onnx.GraphProto) -> None:
    """Writes each `Einsum` of a value with a weight, as of attention, as `MatMul`, in place.

    That is faster, and what 8 bits are for. What is summed over must be the last axes of the value
    and the first of the weight, in one order; an `Einsum` of another kind stays.
    """
    weights = {each.name: each for each in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _product(node, weights, graph) or [node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    for name in {*weights} - {*taken(graph)}:
        graph.initializer.remove(weights[name])


def _product(
    node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """The nodes in place of one; none where it has to stay. Adds their constants to the graph."""
    if node.op_type != "Einsum" or len(node.input) != 2 or node.input[1] not in weights:
        return []
    equation = onnx.helper.get_node_attr_value(node, "equation").decode()
    axes = re.fullmatch(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)", equation)
    if not axes:
        return []
    value, weight, result = axes.groups()
    summed = "".join(axis for axis in value if axis in weight)
    kept, new = value.removesuffix(summed), weight.removeprefix(summed)
    if not summed or value != kept + summed or weight != summed + new or result != kept + new:
        return []
    matrix = onnx.numpy_helper.to_array(weights[node.input[1]])
    sizes = matrix.shape[len(summed) :]

    def constant(name: str, array: np.ndarray) -> str:
        graph.initializer.append(onnx.numpy_helper.from_array(array, f"{node.name}_{name}"))
        return f"{node.name}_{name}"

    def shaped(name: str, sizes: tuple[int, ...]) -> str:
        return constant(name, np.array([*[0] * len(kept), *sizes], np.int64))

    matrix = matrix.reshape(-1, math.prod(sizes))
    make = onnx.helper.make_node
    flat, product = f"{node.name}_flat", f"{node.name}_product"
    return [
        make("Reshape", [node.input[0], shaped("rows", matrix.shape[:1])], [flat], f"{flat}_of"),
        make("MatMul", [flat, constant("matrix", matrix)], [product], f"{product}_of"),
        make("Reshape", [product, shaped("axes", sizes)], [node.output[0]], node.name),
    ]


def taken(graph: onnx.GraphProto) -> Iterator[str]:
    """Yields the names of all that nodes take, those of graphs within included."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from taken(attribute.g)


def mark_gru(model: keras.Model) -> keras.Model:
    """Returns a model with a marker where it had a bidirectional GRU, for `write_gru` to find.

    It shares all other layers with the model, and can be converted, not called.
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

    tf2onnx itself writes two `Loop`s (onnx/tensorflow-onnx#1684), several times slower. Padding
    must lie behind the words, as the tokenizer puts it: the operator takes the length of each row.
    """
    grus = [layer for layer in model.layers if isinstance(layer, keras.layers.Bidirectional)]
    if not grus:
        return {}
    [gru] = grus
    units = gru.forward_layer.units
    cells = [gru.forward_layer.cell, gru.backward_layer.cell]
    values = {  # of both directions; gates are z, r, h in both
        "W": np.stack([cell.kernel.numpy().T for cell in cells]),
        "R": np.stack([cell.recurrent_kernel.numpy().T for cell in cells]),
        "B": np.stack([cell.bias.numpy().flatten() for cell in cells]),
    }

    def handler(context: Any, node: Any, name: str, _arguments: Any) -> None:
        words, mask = node.input
        [output] = node.output
        context.remove_node(node.name)

        def constant(label: str, value: np.ndarray) -> str:
            return context.make_const(f"{name}_{label}", value).output[0]

        def operator(kind: str, inputs: list[str], **attributes: Any) -> Any:
            return context.make_node(kind, inputs, attr=attributes).output[0]

        counted = operator("Cast", [mask], to=TensorProto.INT32)
        axis = constant("axis", np.array([1], np.int64))
        lengths = operator("ReduceSum", [counted, axis], keepdims=0)
        steps_first = operator("Transpose", [words], perm=[1, 0, 2])
        weights = [constant(label, value) for label, value in values.items()]
        states = operator(
            "GRU",
            [steps_first, *weights, lengths],
            direction="bidirectional",
            hidden_size=units,
            linear_before_reset=1,
        )
        # [steps, directions, rows, units]: the mean of both directions, rows first.
        mean = operator("ReduceMean", [states, axis], keepdims=0)
        context.make_node(
            "Transpose", [mean], attr={"perm": [1, 0, 2]}, name=node.name,
            outputs=[output], shapes=[[-1, -1, units]], dtypes=[TensorProto.FLOAT],
        )  # fmt: skip

    return {_MARKER: (handler, [])}


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
