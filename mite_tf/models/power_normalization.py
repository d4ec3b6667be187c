"""Compression of feature values by a power."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Keeps the slope finite at 0, where many features lie.
_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="mite_tf")
class PowerNormalization(keras.layers.Layer):
    """Raises the size of each value to a power and keeps its sign.

    Pooled features of a ReLU network are bursty: a few large values drown the many small ones.
    A square root evens them out, which linear layers on top learn from more easily.

    Args:
        exponent: Power in (0, 1]; 0.5 is the usual signed square root.

    Call arguments:
        inputs: float tensor of any shape.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If the exponent is outside its range.

    Reference:
        Perronnin et al., Improving the Fisher Kernel for Large-Scale Image Classification, 2010,
        doi:10.1007/978-3-642-15561-1_11.

    Example:
        >>> PowerNormalization(0.5)(ops.array([4.0, -9.0])).numpy().round(3).tolist()
        [2.0, -3.0]
    """

    def __init__(self, exponent: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < exponent <= 1:
            raise ValueError(f"`exponent` lies in (0, 1]. Received: exponent={exponent}")
        self.exponent = exponent

    def call(self, inputs: Any) -> Any:
        return ops.sign(inputs) * ops.power(ops.absolute(inputs) + _EPSILON, self.exponent)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "exponent": self.exponent}
