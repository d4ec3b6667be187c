"""A server that answers after a known time, in a process of its own; it prints its port.

python -m tests.serving.loadtest.fake_server '{"seconds": 0.02}'

- seconds: how long a call takes
- threads: how many calls are under way at once; others wait their turn (0: any number)
- stall: [number, seconds], a Predict that takes so long
- announce: after so many Predicts it prints another line
- refuse: every how manyth Predict is refused with RESOURCE_EXHAUSTED
- hang: every how manyth Predict is never answered
"""

import asyncio
import json
import sys

import grpc
import numpy as np

from mite_tf.serving.wire.messages import (
    PREDICTION_SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from mite_tf.serving.wire.tensors import to_array, to_tensor

SIGNATURES = {
    "text": {"serving_default": ("text", 7, [-1]), "token_ids": ("token_ids", 3, [-1, -1])},
    "image": {
        "serving_default": ("image_bytes", 7, [-1]),
        "pixels": ("pixels", 1, [-1, -1, -1, 3]),
        "pixels_uint8": ("pixels", 4, [-1, 8, 8, 3]),
    },
}


class Fake:
    def __init__(self, *, seconds=0.0, threads=0, stall=(0, 0), refuse=0, hang=0, announce=0):
        self.seconds, self.stall, self.refuse, self.hang = seconds, stall, refuse, hang
        self.free = asyncio.Semaphore(threads or 10**6)
        self.announce = announce
        self.calls = 0

    async def metadata(self, request, context):
        if request.model_spec.name not in SIGNATURES:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"Servable not found: {request.model_spec.name}"
            )
        signatures = SignatureDefMap()
        for name, (key, dtype, shape) in SIGNATURES[request.model_spec.name].items():
            info = signatures.signature_def[name].inputs[key]
            info.dtype = dtype
            for size in shape:
                info.tensor_shape.dim.add(size=size)
        signatures.signature_def["__saved_model_init_op"].outputs["init"].dtype = 0
        answer = GetModelMetadataResponse()
        answer.metadata["signature_def"].Pack(signatures)
        return answer

    async def predict(self, request, context):
        self.calls += 1
        number = self.calls
        if number == self.announce:
            print("busy", flush=True)
        if self.refuse and number % self.refuse == 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "The queue is full.")
        if self.hang and number % self.hang == 0:
            await asyncio.sleep(3600)
        async with self.free:
            await asyncio.sleep(self.stall[1] if number == self.stall[0] else self.seconds)
        [tensor] = request.inputs.values()
        answer = PredictResponse()
        answer.model_spec.version.value = 7
        rows = to_array(tensor).shape[0]
        answer.outputs["embedding"].CopyFrom(to_tensor(np.zeros((rows, 4), np.float32)))
        return answer


async def main(options):
    fake = Fake(**options)
    server = grpc.aio.server()
    methods = {
        "Predict": (fake.predict, PredictRequest, PredictResponse),
        "GetModelMetadata": (
            fake.metadata,
            GetModelMetadataRequest,
            GetModelMetadataResponse,
        ),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        for name, (call, request, response) in methods.items()
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(PREDICTION_SERVICE, handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
