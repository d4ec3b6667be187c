"""NumPy arrays to `TensorProto` and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.wire.messages import POOL, TensorProto

# Name of the type in the protocol, NumPy's type, and the field that holds values one by one.
_TYPES: dict[str, tuple[Any, str]] = {
    "DT_FLOAT": (np.float32, "float_val"),
    "DT_DOUBLE": (np.float64, "double_val"),
    "DT_INT32": (np.int32, "int_val"),
    "DT_UINT8": (np.uint8, "int_val"),
    "DT_INT8": (np.int8, "int_val"),
    "DT_INT16": (np.int16, "int_val"),
    "DT_INT64": (np.int64, "int64_val"),
    "DT_BOOL": (np.bool_, "bool_val"),
    "DT_STRING": (np.object_, "string_val"),
}
_ENUM = POOL.FindEnumTypeByName("tensorflow.DataType")
_BY_NUMBER = {_ENUM.values_by_name[name].number: each for name, each in _TYPES.items()}
_NUMBERS = {np.dtype(kind): _ENUM.values_by_name[name].number for name, (kind, _) in _TYPES.items()}


def type_name(number: int) -> str:
    """Returns the name of a type of the protocol as TensorFlow writes it, such as `float`.

    Example:
        >>> type_name(1), type_name(7)
        ('float', 'string')
    """
    known = _ENUM.values_by_number.get(number)
    return known.name.removeprefix("DT_").lower() if known else f"type {number}"


def type_number(dtype: str) -> int:
    """Returns the number of a type by NumPy's or TensorFlow's name, such as `float32`, `string`.

    Example:
        >>> type_number("float32"), type_number("string")
        (1, 7)
    """
    return _NUMBERS[np.dtype(object if dtype == "string" else dtype)]


def to_tensor(array: Any) -> Any:
    """Returns an array, of numbers or of `bytes` with dtype `object`, as a `TensorProto`.

    Example:
        >>> to_array(to_tensor(np.eye(2, dtype=np.float32))).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    array = np.asarray(array)
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise MiteError(f"No tensor can be made of an array of {array.dtype}.")
    tensor = TensorProto(dtype=number)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if array.dtype == np.object_:
        tensor.string_val.extend(array.ravel().tolist())
    else:
        tensor.tensor_content = np.ascontiguousarray(array).tobytes()
    return tensor


def to_array(tensor: Any) -> np.ndarray:
    """Returns a `TensorProto` as an array; strings as `bytes` with dtype `object`.

    Values may be packed or one by one; a last one may stand for all that follow.

    Example:
        >>> shape = {"dim": [{"size": 3}]}
        >>> to_array(TensorProto(dtype=1, float_val=[0.5], tensor_shape=shape)).tolist()
        [0.5, 0.5, 0.5]
    """
    if tensor.dtype not in _BY_NUMBER:
        raise MiteError(f"Tensors of type {type_name(tensor.dtype)} are not known here.")
    kind, field = _BY_NUMBER[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise MiteError("The shape of a tensor must be known.")
    count = math.prod(shape)
    if tensor.tensor_content and kind is not np.object_:
        size = np.dtype(kind).itemsize
        if len(tensor.tensor_content) != count * size:
            raise MiteError(
                f"A tensor of shape {list(shape)} has {count * size} bytes; "
                f"received {len(tensor.tensor_content)}."
            )
        return np.frombuffer(tensor.tensor_content, kind).reshape(shape)
    values = getattr(tensor, field)[:]  # a list, which NumPy takes faster
    if len(values) > count or (count and not values):
        raise MiteError(
            f"A tensor of shape {list(shape)} has {count} values; received {len(values)}."
        )
    flat = np.empty(count, kind)
    if count:
        flat[: len(values)] = values
        flat[len(values) :] = values[-1]
    return flat.reshape(shape)
