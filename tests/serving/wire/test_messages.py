"""The messages are those of `tensorflow-serving-api`, and need no TensorFlow."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes

from mite_tf.errors import MiteError
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_tensor
from tests.serving.wire.collect import DESCRIPTORS, collect

pytest.importorskip("tensorflow_serving")


def test_descriptors_are_those_of_the_installed_package():
    assert collect().SerializeToString(deterministic=True) == DESCRIPTORS.read_bytes()


def test_public_stubs_read_what_is_written():
    from tensorflow_serving.apis import predict_pb2

    request = messages.PredictRequest()
    request.model_spec.name = "text"
    request.model_spec.version.value = 3
    request.inputs["text"].string_val.append(b"a dog")
    other = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (other.model_spec.name, other.model_spec.version.value) == ("text", 3)
    assert other.inputs["text"].string_val[0] == b"a dog"


def field(number, data):
    return bytes([number << 3 | 2]) + _VarintBytes(len(data)) + data


def request_of(tensor):
    return field(2, field(1, b"text") + field(2, tensor))


MANY = 1 << 17
HOSTILE = {
    "dims": request_of(field(2, b"\x12\x00" * MANY)),
    "strings": request_of(b"\x42\x00" * MANY),
    "handles": request_of(b"\x72\x00" * MANY),
    "inputs": b"\x12\x00" * MANY,
    "unknown": b"\x78\x01" * MANY,
    "groups": b"\x7b\x7c" * MANY,
    "integers one by one": request_of(b"\x38\x01" * MANY),
    "packed integers": request_of(field(7, b"\x01" * (17 << 20))),
    "packed booleans": request_of(field(11, b"\x01" * (17 << 20))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_messages_that_would_take_many_times_their_bytes_are_refused(name):
    data = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(MiteError, match="more than 16384 fields"):
            messages.parse(messages.PredictRequest, data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_large_messages_are_parsed():
    request = messages.PredictRequest()
    request.inputs["content"].CopyFrom(to_tensor(np.zeros((8, 224, 224, 3), np.float32)))
    request.inputs["texts"].CopyFrom(to_tensor(np.array([b"a dog"] * 1000, object)))
    request.inputs["floats"].float_val.extend([0.5] * (1 << 20))
    request.inputs["integers"].int_val.extend([255] * (1 << 20))
    assert messages.parse(messages.PredictRequest, request.SerializeToString()) == request


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 20, b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\x0a\x01\xff", b"\x0b" * 99],
)
def test_bytes_that_are_no_message_are_refused(data):
    for padding in (b"", b"\x0a\x00" * 40_000, field(1, bytes(1 << 16))):
        with pytest.raises(MiteError, match=r"no tensorflow\.serving\.Pred|16384 fields"):
            messages.parse(messages.PredictRequest, padding + data)


def test_messages_in_messages_are_not_followed_for_ever():
    tensor = bytes(1 << 16)
    for _ in range(2000):
        tensor = field(15, field(3, tensor))  # a variant of a tensor of a variant ...
    with pytest.raises(MiteError, match="no tensorflow"):
        messages.parse(messages.PredictRequest, request_of(tensor))


def test_classes_of_the_parts_of_messages_stay():
    request = messages.PredictRequest()
    request.inputs["text"].tensor_shape.dim.add(size=1)
    shape = request.inputs["text"].tensor_shape
    kinds = [weakref.ref(type(each)) for each in (shape, shape.dim[0], request.model_spec.version)]
    del request, shape
    gc.collect()
    assert all(kind() is not None for kind in kinds)
