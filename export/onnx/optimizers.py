"""The graph optimizers of tf2onnx that are run, and with what changes."""

from __future__ import annotations

from typing import Any

from tf2onnx import optimizer
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

from mite_tf.export.onnx.transposes import ScalarSafeTransposeOptimizer


def optimizers() -> dict[str, Any]:
    """Returns tf2onnx's optimizers in order.

    `einsum_optimizer` is left out: it takes each `Einsum` of a pooling apart into sixteen
    operations, some with shapes that OpenVINO refuses, and nothing gets faster.
    """
    ours = {TransposeOptimizer: ScalarSafeTransposeOptimizer}
    return {
        name: ours.get(each, each)
        for name, each in optimizer._get_optimizers().items()
        if name != "einsum_optimizer"
    }
