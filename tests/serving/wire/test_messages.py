"""The messages are those of `tensorflow-serving-api`, and need no TensorFlow."""

import pytest

from mite_tf.serving.wire import messages
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
