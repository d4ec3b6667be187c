"""A client of nothing but the public stubs of TensorFlow Serving."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mite_tf.export.verification.cases import images as draw_images

images = cache(draw_images)  # drawing them takes a second


class Stubs:
    """Asks a server as any program would that knows only the protocol."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def request(self, model="text", *, signature="", version=None, label="", filter=(), **inputs):
        request = predict_pb2.PredictRequest(output_filter=filter)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        if label:
            request.model_spec.version_label = label
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def predict(self, model="text", *, timeout=30, **asked):
        return self.prediction.Predict(self.request(model, **asked), timeout=timeout)

    def embed(self, model="text", **asked):
        response = self.predict(model, **asked)
        return tf.make_ndarray(response.outputs["embedding"])

    def refused(self, model="text", **asked):
        """Status and message of a request that must be refused."""
        try:
            self.predict(model, **asked)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError("was answered")

    def metadata(self, model, fields=("signature_def",)):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = model
        return self.prediction.GetModelMetadata(request, timeout=30)

    def status(self, model, version=None):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        response = self.model.GetModelStatus(request, timeout=30)
        return {each.version: each.state for each in response.model_version_status}


@contextmanager
def stubs_of(port, credentials=None):
    address = f"{'localhost' if credentials else '127.0.0.1'}:{port}"
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    opened = (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    )
    with opened as channel:
        yield Stubs(channel)


def close(given, expected, tolerance=2e-6):
    np.testing.assert_allclose(given, expected, atol=tolerance, rtol=0)
