"""A server that fails on demand, with embeddings that tell which row they are of."""

import threading
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np

from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_array, to_tensor

SIZE = 3


def embedding_of(row):
    """What the fake makes of one row of `bytes`: exact in float32, different for each."""
    number = zlib.crc32(row)
    return [float(number >> 16), float(number & 0xFFFF), float(len(row))]


class FakeServer(grpc.GenericRpcHandler):
    """Answers Predict after what `faults` hold: functions of the context, one for each request.

    Attributes:
        requests: All requests of Predict, with the metadata and the seconds left to each.
        version: Function from the number of the request, from 0, to the version that answers.
    """

    def __init__(self, *, credentials=None, port=0, threads=8, **options):
        self.requests, self.metadata, self.left = [], [], []
        self.faults = deque()
        self.version = lambda number: 1
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._server = grpc.server(
            ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0), *options.items()]
        )
        self._server.add_generic_rpc_handlers((self,))
        address = f"localhost:{port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        self.target = f"localhost:{self.port}"
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._server.stop(None).wait()

    def service(self, details):
        methods = {
            f"/{messages.PREDICTION_SERVICE}/Predict": (self.predict, messages.PredictRequest),
            f"/{messages.PREDICTION_SERVICE}/GetModelMetadata": (
                self.describe,
                messages.GetModelMetadataRequest,
            ),
        }
        if details.method not in methods:
            return None
        method, request = methods[details.method]
        return grpc.unary_unary_rpc_method_handler(
            method, request.FromString, lambda response: response.SerializeToString()
        )

    def predict(self, request, context):
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            self.left.append(context.time_remaining())
            fault = self.faults.popleft() if self.faults else None
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if fault:
                fault(context)
            [array] = [to_array(each) for each in request.inputs.values()]
            if any(isinstance(row, bytes) and row.startswith(b"BAD") for row in array):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "one of them is bad")
            rows = [row if isinstance(row, bytes) else row.tobytes() for row in array]
            response = messages.PredictResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = self.version(number)
            values = np.array([embedding_of(row) for row in rows], np.float32)
            response.outputs["embedding"].CopyFrom(to_tensor(values))
            return response
        finally:
            with self._lock:
                self.at_once -= 1

    def describe(self, request, context):
        found = messages.SignatureDefMap()
        signature = found.signature_def["serving_default"]
        signature.inputs["text"].dtype, signature.outputs["embedding"].dtype = 7, 1
        for size in (-1, SIZE):
            signature.outputs["embedding"].tensor_shape.dim.add(size=size)
        response = messages.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = self.version(0)
        response.metadata["signature_def"].Pack(found)
        return response

    def rows(self):
        """Number of rows of each request."""
        return [next(iter(each.inputs.values())).tensor_shape.dim[0].size for each in self.requests]


def abort(code, message=""):
    """A fault: the request fails with a code."""
    return lambda context: context.abort(getattr(grpc.StatusCode, code), message)


def sleep(seconds):
    """A fault: the answer is late, unless the caller goes before it."""

    def late(context):
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(seconds)

    return late
