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
# More dimensions than any input has, and more values than any message can hold.
_MOST_DIMENSIONS, _MOST_VALUES = 32, 1 << 40
# What a last value may fill by standing for all that follow: a few bytes must not claim much.
_MOST_FILLED = 1 << 20
_CHUNK = 1 << 16
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


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Returns the shape that a `TensorProto` claims; whether it has the values is not checked.

    Raises:
        MiteError: If the shape is not known, or of too many dimensions or values for any tensor.

    Example:
        >>> shape_of(to_tensor(np.eye(2)))
        (2, 2)
    """
    shape = tensor.tensor_shape
    if shape.unknown_rank:
        raise MiteError("The shape of a tensor must be known.")
    dims = shape.dim
    if len(dims) > _MOST_DIMENSIONS:
        raise MiteError(
            f"A tensor has {len(dims)} dimensions; at most {_MOST_DIMENSIONS} are taken."
        )
    sizes = tuple([dim.size for dim in dims])
    if min(sizes, default=0) < 0:
        raise MiteError("The shape of a tensor must be known; a size is negative.")
    if math.prod(filter(None, sizes)) > _MOST_VALUES:
        raise MiteError(f"A tensor of shape {list(sizes)} is larger than any message.")
    return sizes


def to_array(tensor: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Returns a `TensorProto` as an array; strings as `bytes` with dtype `object`.

    Values may be packed or one by one; a last one may stand for all that follow, where these take
    no more than 1 MiB. Everything is counted before anything is filled.

    Args:
        tensor: The `TensorProto`.
        shape: What `shape_of` gives for it, if that is known.

    Raises:
        MiteError: If the values are not those of the type and shape.

    Example:
        >>> three = {"dim": [{"size": 3}]}
        >>> to_array(TensorProto(dtype=1, float_val=[0.5], tensor_shape=three)).tolist()
        [0.5, 0.5, 0.5]
    """
    if tensor.dtype not in _BY_NUMBER:
        raise MiteError(f"Tensors of type {type_name(tensor.dtype)} are not known here.")
    kind, field = _BY_NUMBER[tensor.dtype]
    shape = shape_of(tensor) if shape is None else shape
    count = math.prod(shape)
    size = np.dtype(kind).itemsize
    content = b"" if kind is np.object_ else tensor.tensor_content
    if content:
        if len(content) != count * size:
            raise MiteError(
                f"A tensor of shape {list(shape)} has {count * size} bytes; "
                f"received {len(content)}."
            )
        return np.frombuffer(content, kind).reshape(shape)
    values = getattr(tensor, field)
    received = len(values)
    if received > count or (count and not received):
        raise MiteError(f"A tensor of shape {list(shape)} has {count} values; received {received}.")
    if received < count:
        size += len(values[-1]) if kind is np.object_ else 0
        if (count - received) * size > _MOST_FILLED:
            raise MiteError(
                f"A tensor of shape {list(shape)} has {count} values; received {received}. The "
                f"last stands for what follows up to {_MOST_FILLED} bytes: send all values."
            )
    flat = np.empty(count, kind)
    try:
        for first in range(0, received, _CHUNK):
            part = values[first : first + _CHUNK]  # a list, which NumPy takes faster
            flat[first : first + len(part)] = part
    except OverflowError as error:
        raise MiteError(f"A tensor of type {type_name(tensor.dtype)}: {error}.") from error
    if received < count:
        flat[received:] = values[-1]
    return flat.reshape(shape)
