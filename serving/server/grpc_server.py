"""The gRPC side of a server: services, health, reflection, encryption."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from mite_tf.errors import MiteError
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.outcomes import Refusal, invalid, recorded
from mite_tf.serving.server.service import model_metadata, model_status, predict
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.messages import MODEL_SERVICE, POOL, PREDICTION_SERVICE

# The last two are the names under which TensorFlow Serving reports (model_servers/server.cc).
_HEALTHY = ("", PREDICTION_SERVICE, MODEL_SERVICE, "PredictionService", "ModelService")
# Bytes of a request for health or reflection, which names a service or a type.
_LONGEST_NAME = 4096
# Seconds without a request, or in all, after which a server that stops hears no more.
_QUIET, _PATIENCE = 0.2, 2.0


# no example: made by `Server`, which needs an export; see `start_server`.
class GrpcServer:
    """Listens for gRPC; a taken port or unusable certificates are errors."""

    def __init__(self, options: ServerOptions, models: Models, metrics: Metrics) -> None:
        self._options = options
        self._models = models
        self._metrics = metrics
        self._stopping = False
        self._last = 0.0  # when the last request came
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", 0),
                # Clients may ping every ten seconds, also between calls, to keep a way open.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ]
        )
        # Methods that are not named here are UNIMPLEMENTED.
        services = {
            PREDICTION_SERVICE: {"Predict": predict, "GetModelMetadata": model_metadata},
            MODEL_SERVICE: {"GetModelStatus": model_status},
        }
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service, {api: self._handler(api, answer) for api, answer in methods.items()}
                )
                for service, methods in services.items()
            ]
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, _Guarded(self._server))
        POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
        names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(names, pool=POOL), _Guarded(self._server)
        )
        self.port = self._listen()

    def _handler(
        self, api: str, answer: Callable[[Models, Any], Awaitable[Any]]
    ) -> grpc.RpcMethodHandler:
        kind = messages.message_class(f"tensorflow.serving.{api}Request")

        async def call(data: bytes, context: grpc.aio.ServicerContext) -> Any:
            self._last = time.perf_counter()
            malformed = ""
            try:
                request = messages.parse(kind, data)
            except MiteError as error:
                malformed = str(error)
                request = kind()
            model = request.model_spec.name
            try:
                with recorded(self._metrics, model=model, api=api, entry="GRPC"):
                    if malformed:
                        raise invalid(malformed)
                    if self._stopping:
                        # gRPC itself would cancel requests that it has not handed on, which no
                        # client takes for a reason to ask another server.
                        raise Refusal(
                            grpc.StatusCode.UNAVAILABLE,
                            "The server is stopping. Ask again, or another one.",
                        )
                    return await answer(self._models, request)
            except Refusal as refusal:
                code, text = refusal.code, str(refusal)
            # What `abort` raises is kept by the call, which it refers to: only the next round of
            # the garbage collector frees them, and with them what is still known here, or would be
            # the context of an error.
            del data, request, model
            return await context.abort(code, text)

        response = messages.message_class(f"tensorflow.serving.{api}Response")
        return grpc.unary_unary_rpc_method_handler(call, None, response.SerializeToString)

    def _listen(self) -> int:
        host = self._options.host
        address = f"{f'[{host}]' if ':' in host else host}:{self._options.port}"
        try:
            if self._options.tls is None:
                return self._server.add_insecure_port(address)
            cert, key, client_ca = self._options.tls.read()
            credentials = grpc.ssl_server_credentials(
                [(key, cert)], client_ca, require_client_auth=client_ca is not None
            )
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise MiteError(
                f"gRPC cannot listen on {address}: {str(error).rstrip('.')}. Is the port taken? "
                "Name another one."
            ) from error

    async def start(self) -> None:
        """Answers from now on, and reports to be healthy."""
        for name in _HEALTHY:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self) -> None:
        """Reports not to be healthy, takes no more requests, and answers those that it has."""
        await self._health.enter_graceful_shutdown()
        self._stopping = True
        start = time.perf_counter()
        while time.perf_counter() < min(start + _PATIENCE, max(start, self._last) + _QUIET):
            await asyncio.sleep(_QUIET / 4)
        await self._server.stop(self._options.grace_seconds)


class _Guarded:
    """Adds services of gRPC's own to a server, so that they refuse bytes that are no message.

    By itself gRPC takes these for a failure of the server, and logs a traceback for each. What is
    longer than any name is refused too: these services keep what they refuse.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Adds the methods of a service."""
        guarded = {name: _guarded(handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, guarded)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Does nothing: the generated code adds each method twice."""


def _guarded(handler: Any) -> grpc.RpcMethodHandler:
    malformed = grpc.StatusCode.INVALID_ARGUMENT, "The bytes are no such message."

    def parsed(data: bytes) -> Any:
        with suppress(DecodeError):
            return handler.request_deserializer(data) if len(data) <= _LONGEST_NAME else None

    async def one(data: bytes, context: grpc.aio.ServicerContext) -> Any:
        request = parsed(data)
        del data
        if request is None:
            return await context.abort(*malformed)
        with suppress(NotImplementedError):  # which has set the status
            return await (handler.unary_unary or handler.unary_stream)(request, context)

    async def many(parts: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
        async def requests() -> AsyncIterator[Any]:
            async for data in parts:
                request = parsed(data)
                del data
                if request is None:
                    await context.abort(*malformed)
                yield request

        async for response in handler.stream_stream(requests(), context):
            yield response

    changed = {"unary_unary": one, "unary_stream": one, "stream_stream": many}
    kinds = {name: each for name, each in changed.items() if getattr(handler, name)}
    return handler._replace(request_deserializer=None, **kinds)
