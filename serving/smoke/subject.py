"""The server that is tried, reached by the client and by bare messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.serving.client import ClientTLS, EmbeddingClient
from mite_tf.serving.client.connection import Connection
from mite_tf.serving.wire.messages import (
    PREDICTION_SERVICE,
    PredictRequest,
    PredictResponse,
)
from mite_tf.serving.wire.tensors import to_tensor

MODELS = ("image", "text")


class Failed(Exception):
    """A check that did not hold; the message says what came instead."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A server, and how to reach it.

    Attributes:
        target: Address of gRPC.
        tls: Certificates; None without TLS.
        token: Sent with each request; to another machine only by TLS.
        label: Label of the version to try; None for the one that the server prefers.
        http: Address of REST, such as `localhost:8501`; None to leave it out.
        export: Export folder to compare with; None to leave it out.
        tolerance: Greatest difference of a number in an embedding.
        timeout: Seconds for one request.
        wait: Seconds until both models must be loaded.
    """

    target: str
    tls: ClientTLS | None = None
    token: str | None = None
    label: str | None = None
    http: str | None = None
    export: Path | None = None
    tolerance: float = 1e-4
    timeout: float = 10.0
    wait: float = 30.0

    @cached_property
    def client(self) -> EmbeddingClient:
        """The client, as anybody would use it."""
        return EmbeddingClient(
            self.target,
            tls=self.tls,
            token=self.token,
            version_label=self.label,
            timeout=self.timeout,
            in_flight=16,
        )

    @cached_property
    def channel(self) -> grpc.Channel:
        """A channel for messages that the client would never send."""
        connection = Connection(
            target=self.target,
            tls=self.tls,
            token=self.token,
            token_in_clear=False,
            keepalive=20.0,
            channel_options=(),
        )
        credentials = connection.credentials()
        if credentials is None:
            return grpc.insecure_channel(self.target, connection.options())
        return grpc.secure_channel(self.target, credentials, connection.options())

    @cached_property
    def image_input(self) -> str:
        """Names of the image model's input: `image_bytes`, or `features`."""
        signature = self.client.metadata()["image"].signatures["serving_default"]
        [name] = signature.inputs
        return name

    @cached_property
    def features_shape(self) -> tuple[int, ...]:
        """Shape of one row of features."""
        signature = self.client.metadata()["image"].signatures["serving_default"]
        shape = signature.inputs["features"].shape
        assert shape is not None
        return shape[1:]

    def call(self, path: str, request: bytes) -> bytes:
        """Sends bytes to a method and returns the bytes that come back."""
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else None
        method = self.channel.unary_unary(path)
        answer: bytes = method(request, timeout=self.timeout, metadata=metadata)
        return answer

    def predict(
        self, model: str, inputs: dict[str, Any], *, signature: str = "", version: int | None = None
    ) -> Any:
        """Sends a `PredictRequest` of any content and returns the response.

        Raises:
            grpc.RpcError: If the server refuses it.
        """
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        elif self.label is not None:
            request.model_spec.version_label = self.label
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_tensor(array))
        data = self.call(f"/{PREDICTION_SERVICE}/Predict", request.SerializeToString())
        return PredictResponse.FromString(data)

    def close(self) -> None:
        """Closes what was opened."""
        for name in ("client", "channel"):
            if name in self.__dict__:
                self.__dict__[name].close()


def strings(*values: bytes) -> np.ndarray:
    """Returns an array of bytes as the protocol's strings."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
