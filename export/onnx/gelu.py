"""The exact GELU, whose complementary error function ONNX lacks (onnx/tensorflow-onnx#2347)."""

from __future__ import annotations

from typing import Any

import numpy as np


def write_erfc() -> dict[str, Any]:
    """Returns the handler that makes tf2onnx write `Erfc` as 1 - `Erf`."""

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
