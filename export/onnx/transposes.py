"""Transposes around convolutions, which tf2onnx removes unless a scalar is added to one."""

from __future__ import annotations

from typing import Any

from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer


class ScalarSafeTransposeOptimizer(TransposeOptimizer):
    """Moves transposes past the addition of a scalar, as in the hard swish of MobileNetV3.

    The original takes any constant added to a convolution for its bias and fails on the shape of
    a scalar (compare onnx/tensorflow-onnx#1729), which leaves all transposes where they are.
    """

    def _add_handler(self, trans: Any, node: Any) -> Any:
        constant = node.inputs[1]
        if constant.is_const() and constant.get_tensor_value(as_list=False).ndim == 0:
            return self._handle_node_having_branches(trans, node)
        return super()._add_handler(trans, node)
