"""The messages of `tensorflow.serving`, in a descriptor pool of their own.

The public package `tensorflow-serving-api` has these messages too, but importing it loads
TensorFlow, which takes seconds and half a gigabyte. Here the same descriptors are read from
`descriptors.binpb`, which `python -m tests.serving.wire.collect` writes from that package. They are
not put into the default pool, which may hold those of a TensorFlow in the same process, of another
version.

The descriptors are compiled from the `.proto` files of TensorFlow and TensorFlow Serving, which
are copyright The TensorFlow Authors, under the Apache License 2.0, as this project is.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from mite_tf.errors import MiteError

# A field of two bytes may take fifty times as many in memory. Below so many bytes of a message
# nobody minds; a larger one may hold so many fields, of which a good one has some for each row.
_SMALL, _MOST_FIELDS = 1 << 16, 1 << 14
# Bytes of packed integers, each up to eight in memory, that count as one field.
_PACKED = 1 << 10
# As long in memory as in the message, whatever is repeated of them.
_AS_LONG = {
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_DOUBLE,
}
_DEEPEST = 100  # as protobuf


def _read_pool() -> DescriptorPool:
    pool = DescriptorPool()
    data = resources.files("mite_tf.serving.wire").joinpath("descriptors.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


POOL = _read_pool()
# The class of each kind of message that was named here, and of all that its fields are made of.
# protobuf makes classes when they are first needed and lets the garbage collector have them after
# that; a thread that needs one while it is collected brings the process down.
_CLASSES: dict[str, Any] = {}


def message_class(name: str) -> Any:
    """Returns a message class by its full name.

    Example:
        >>> message_class("tensorflow.serving.ModelSpec")(name="text").name
        'text'
    """
    return _class_of(POOL.FindMessageTypeByName(name))


def _class_of(kind: Descriptor) -> Any:
    if kind.full_name not in _CLASSES:
        _CLASSES[kind.full_name] = GetMessageClass(kind)
        for field in kind.fields:
            if field.message_type is not None:
                _class_of(field.message_type)
    return _CLASSES[kind.full_name]


def parse(kind: Any, data: bytes) -> Any:
    """Returns the message of a class that bytes hold.

    Raises:
        MiteError: If they hold none, or one of so many small fields that it takes many times their
            memory.

    Example:
        >>> parse(ModelSpec, ModelSpec(name="text").SerializeToString()).name
        'text'
    """
    if len(data) > _SMALL and _count(kind.DESCRIPTOR, memoryview(data), _MOST_FIELDS, 0) < 0:
        raise MiteError(
            f"The message has more than {_MOST_FIELDS} fields, or {_MOST_FIELDS * _PACKED} bytes "
            "of integers one by one. Send numbers as tensor_content."
        )
    try:
        return kind.FromString(data)
    except DecodeError:
        # Without what protobuf says, which differs from one of its versions to the next.
        raise MiteError(f"The bytes are no {kind.DESCRIPTOR.full_name}.") from None


def _count(kind: Any, data: memoryview, left: int, depth: int) -> int:
    """Returns how many fields a message may still have after these; less than 0 for too many."""
    at = 0
    while at < len(data) and left >= 0:
        tag, at = _varint(data, at)
        left -= 1
        if tag & 7 == 2:
            length, at = _varint(data, at)
            part = data[at : at + length]
            at += length
            field = kind.fields_by_number.get(tag >> 3)
            if field is None:
                continue
            if field.message_type:
                if depth < _DEEPEST:
                    left = _count(field.message_type, part, left, depth + 1)
            elif field.type not in _AS_LONG:
                left -= length // _PACKED
        elif tag & 7 == 0:
            _, at = _varint(data, at)
        else:
            at += {1: 8, 5: 4}.get(tag & 7, 0)
    return left


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Returns a number and where the next byte is; what is malformed the parser refuses later."""
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            break
    return value, at


TensorProto = message_class("tensorflow.TensorProto")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus = message_class("tensorflow.serving.ModelVersionStatus")
PredictionLog = message_class("tensorflow.serving.PredictionLog")

ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
BatchingParameters = message_class("tensorflow.serving.BatchingParameters")
SSLConfig = message_class("tensorflow.serving.SSLConfig")
MonitoringConfig = message_class("tensorflow.serving.MonitoringConfig")

# Full names of the two services, of which each method is `/SERVICE/METHOD`.
PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
