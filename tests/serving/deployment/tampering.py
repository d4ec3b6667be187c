"""A server between client and server, which does one thing wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np

from mite_tf.serving.wire.messages import GetModelStatusResponse, PredictResponse
from mite_tf.serving.wire.tensors import to_array, to_tensor


class Forward(grpc.GenericRpcHandler):
    """Hands each call on, and its answer back through `tamper(method, answer)`."""

    def __init__(self, channel, tamper):
        self.channel, self.tamper = channel, tamper

    def service(self, details):
        def call(request, context):
            try:
                answer = self.channel.unary_unary(details.method)(request, timeout=20)
            except grpc.RpcError as error:
                code = self.tamper(details.method, error.code())
                context.abort(code, error.details())
            return self.tamper(details.method, answer)

        return grpc.unary_unary_rpc_method_handler(call)


@contextmanager
def between(port, tamper):
    """Gives the port of a server that forwards to `port`."""
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        server = grpc.server(ThreadPoolExecutor(32), handlers=[Forward(channel, tamper)])
        own = server.add_insecure_port("localhost:0")
        server.start()
        try:
            yield own
        finally:
            server.stop(None).wait()


def embeddings_through(change):
    """Changes the embeddings of each Predict."""

    def tamper(method, answer):
        if not (method.endswith("/Predict") and isinstance(answer, bytes)):
            return answer
        response = PredictResponse.FromString(answer)
        tensor = response.outputs["embedding"]
        changed = np.asarray(change(to_array(tensor)), np.float32)
        tensor.CopyFrom(to_tensor(changed))
        return response.SerializeToString()

    return tamper


def codes_through(change):
    """Changes the codes of refusals."""

    def tamper(method, answer):
        return change(answer) if isinstance(answer, grpc.StatusCode) else answer

    return tamper


def still_loading(method, answer):
    """Says that no version is available yet."""
    if not method.endswith("/GetModelStatus") or not isinstance(answer, bytes):
        return answer
    response = GetModelStatusResponse.FromString(answer)
    for each in response.model_version_status:
        each.state = 20
    return response.SerializeToString()
