"""Pooling of a set of vectors, region features or words, into one."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

# Below any feature value, and finite in float16 too: what padding becomes before sorting.
_LOWEST = -6.0e4


class _SetPooling(keras.layers.Layer):
    """Takes `[N, ..., C]` to `[N, P, C]`, with a mask `[N, P]` that is 1 where a vector counts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        vectors = inputs
        if len(inputs.shape) > 3:
            vectors = ops.reshape(inputs, (-1, math.prod(inputs.shape[1:-1]), inputs.shape[-1]))
        if mask is None:
            mask = ops.ones_like(vectors[:, :, 0])
        return self.pool(vectors, ops.cast(mask, vectors.dtype))

    def pool(self, vectors: Any, mask: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(package="mite_tf")
class AveragePooling(_SetPooling):
    """Averages the vectors that the mask leaves; a set without any gives zeros.

    Call arguments:
        inputs: float tensor `[N, P, C]` or a feature map `[N, H, W, C]`.
        mask: boolean tensor `[N, P]`, true where a vector counts; all count by default.

    Returns:
        float tensor `[N, C]`.

    Example:
        >>> words = keras.ops.convert_to_tensor([[[1.0], [3.0], [9.0]]])
        >>> AveragePooling()(words, mask=keras.ops.convert_to_tensor([[True, True, False]])).numpy()
        array([[2.]], dtype=float32)
    """

    def pool(self, vectors: Any, mask: Any) -> Any:
        total = ops.einsum("npc,np->nc", vectors, mask)
        return total / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1)


@keras.saving.register_keras_serializable(package="mite_tf")
class MaxPooling(_SetPooling):
    """Takes the maximum of each channel over what the mask leaves; an empty set gives zeros.

    Call arguments and result are those of `AveragePooling`.

    Example:
        >>> words = keras.ops.convert_to_tensor([[[1.0], [3.0], [9.0]]])
        >>> MaxPooling()(words, mask=keras.ops.convert_to_tensor([[True, True, False]])).numpy()
        array([[3.]], dtype=float32)
    """

    def pool(self, vectors: Any, mask: Any) -> Any:
        highest = ops.max(_drop_to_lowest(vectors, mask), axis=1)
        return highest * ops.cast(ops.any(mask > 0, axis=1, keepdims=True), highest.dtype)


@keras.saving.register_keras_serializable(package="mite_tf")
class GeneralizedPooling(_SetPooling):
    """Generalised pooling operator (GPO): a learned weighting of each channel's sorted values.

    The values of a channel are sorted in descending order and summed with weights that depend
    on the rank and on the number of values alone: all on rank 0 is max pooling, equal ones are
    average pooling, with which it starts. They come from a small network over sinusoidal encodings
    of the rank from the top and from the bottom, and a softmax. (The paper has a bidirectional GRU
    over the ranks; a dense network exports to every runtime without a loop.)

    Args:
        units: Width of the network that makes the weights.
        encoding_size: Even number of channels of each rank encoding; the paper's is 32.

    Call arguments and result are those of `AveragePooling`.

    Reference:
        Chen et al., Learning the Best Pooling Strategy for Visual Semantic Embedding, 2021,
        arXiv:2011.04305.

    Example:
        >>> features = keras.ops.convert_to_tensor(np.random.rand(2, 7, 7, 16))
        >>> GeneralizedPooling()(features).shape
        TensorShape([2, 16])
    """

    def __init__(self, units: int = 32, encoding_size: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if encoding_size < 2 or encoding_size % 2:
            raise ValueError(
                "`encoding_size` must be a positive even number. "
                f"Received: encoding_size={encoding_size}"
            )
        self.units = units
        self.encoding_size = encoding_size
        self._hidden = keras.layers.Dense(units, activation="tanh", name="hidden")
        # Zeros: all ranks weigh the same at the start, so training sets out from the average.
        self._weight = keras.layers.Dense(1, kernel_initializer="zeros", name="weight")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._hidden.build((None, 2 * self.encoding_size))
        self._weight.build((None, self.units))
        self.built = True

    def pool(self, vectors: Any, mask: Any) -> Any:
        count = ops.sum(mask, axis=1, keepdims=True)
        rank = ops.cast(ops.arange(ops.shape(vectors)[1]), vectors.dtype)[None, :]
        inside = ops.cast(rank < count, vectors.dtype)
        encoded = ops.concatenate(
            [self._encode(rank + 0 * count), self._encode(ops.maximum(count - 1 - rank, 0))], -1
        )
        logits = self._weight(self._hidden(encoded))[:, :, 0]
        weights = ops.softmax(logits + (1 - inside) * _LOWEST, axis=1) * inside
        ranked = -ops.sort(-_drop_to_lowest(vectors, mask), axis=1) * inside[:, :, None]
        return ops.einsum("npc,np->nc", ranked, weights)

    def _encode(self, rank: Any) -> Any:
        """Sinusoidal encoding of ranks `[N, P]` as `[N, P, encoding_size]`."""
        half = self.encoding_size // 2
        frequency = ops.cast(10_000.0 ** (-np.arange(half) / half), rank.dtype)
        angle = rank[:, :, None] * frequency
        return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "encoding_size": self.encoding_size}
        return {**super().get_config(), **own}


def _drop_to_lowest(vectors: Any, mask: Any) -> Any:
    return ops.where(mask[:, :, None] > 0, vectors, ops.cast(_LOWEST, vectors.dtype))


_POOLING = {"average": AveragePooling, "max": MaxPooling, "generalized": GeneralizedPooling}


def pooling_layer(kind: str, **kwargs: Any) -> keras.layers.Layer:
    """Returns a new pooling layer: `average`, `max` or `generalized`.

    Raises:
        ValueError: If the kind is none of these.

    Example:
        >>> pooling_layer("max", name="pooling").name
        'pooling'
    """
    if kind not in _POOLING:
        raise ValueError(f"Unknown pooling. Expected one of {sorted(_POOLING)}. Received: {kind!r}")
    return _POOLING[kind](**kwargs)
