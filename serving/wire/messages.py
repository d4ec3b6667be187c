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

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def _read_pool() -> DescriptorPool:
    pool = DescriptorPool()
    data = resources.files("mite_tf.serving.wire").joinpath("descriptors.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


POOL = _read_pool()


def message_class(name: str) -> Any:
    """Returns a message class by its full name.

    Example:
        >>> message_class("tensorflow.serving.ModelSpec")(name="text").name
        'text'
    """
    return GetMessageClass(POOL.FindMessageTypeByName(name))


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
