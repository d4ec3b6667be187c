"""The gRPC side of a server: services, health, reflection, encryption."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from mite_tf.errors import MiteError
from mite_tf.serving.server.connections import bound, cut, most_connections, thin_out
from mite_tf.serving.server.intake import Intake
from mite_tf.serving.server.lanes import LIGHT
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.outcomes import Refusal, recorded, stopping
from mite_tf.serving.server.service import model_metadata, model_status, predict
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.messages import MODEL_SERVICE, POOL, PREDICTION_SERVICE

# The last two are the names under which TensorFlow Serving reports (model_servers/server.cc).
_HEALTHY = ("", PREDICTION_SERVICE, MODEL_SERVICE, "PredictionService", "ModelService")
# Bytes of a request for health or reflection, which names a service or a type.
_LONGEST_NAME = 4096
# The queue bounds the rows of small requests.
_UNCOUNTED = nullcontext(lambda size: None)
# Calls that may watch the health at the same time.
_WATCHING = 100
# Streams of a connection; what comes beyond waits at the client. HTTP/2 recommends not to allow
# fewer, and what callers begin and do not go on with stands in the way of others.
_STREAMS = 100
# Milliseconds: until a connection has begun to speak HTTP/2, TLS included; that one without calls
# is kept; without a sign of life until a client is asked for one, and until that must have come.
_HANDSHAKE, _IDLE, _SILENT, _PING = 10_000, 300_000, 60_000, 20_000
# Seconds between two looks whether connections have to make room.
_THIN_OUT = 0.25
# Seconds in which answers reach their clients before the connections end.
_QUIET = 0.2


# no example: made by `Server`, which needs an export; see `start_server`.
class GrpcServer:
    """Listens for gRPC; a taken port or unusable certificates are errors."""

    def __init__(
        self, options: ServerOptions, models: Models, metrics: Metrics, intake: Intake
    ) -> None:
        self._options = options
        self._models = models
        self._metrics = metrics
        self._intake = intake
        self._stopping = False
        self._answering = self._watching = 0
        self._most = most_connections()
        self._thinning: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", 0),
                # Clients may ping every ten seconds, also between calls, to keep a way open.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.max_allowed_incoming_connections", self._most),
                ("grpc.max_concurrent_streams", _STREAMS),
                # Beyond so many that are not begun, gRPC refuses some at random.
                ("grpc.server.max_pending_requests", self._most * _STREAMS),
                ("grpc.server.max_pending_requests_hard_limit", self._most * _STREAMS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE),
                ("grpc.max_connection_idle_ms", _IDLE),
                ("grpc.keepalive_time_ms", _SILENT),
                ("grpc.keepalive_timeout_ms", _PING),
                # Where it grows by what a line could hold, a call that waits for its turn fills it.
                ("grpc.http2.bdp_probe", 0),
            ]
        )
        # Methods that are not named here are UNIMPLEMENTED.
        methods = _Methods()
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
        names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(names, pool=POOL), methods
        )
        services = {
            service: {api: self._guarded(method) for api, method in found.items()}
            for service, found in methods.items()
        }
        services[PREDICTION_SERVICE] = {
            "Predict": self._handler("Predict", predict),
            "GetModelMetadata": self._handler("GetModelMetadata", model_metadata),
        }
        services[MODEL_SERVICE] = {"GetModelStatus": self._handler("GetModelStatus", model_status)}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(*each) for each in services.items()]
        )
        # gRPC queues the calls of each method that it knows apart: health waits for nobody.
        for each in services.items():
            self._server.add_registered_method_handlers(*each)
        self.port = self._listen()

    def _handler(
        self, api: str, answer: Callable[[Models, Any], Awaitable[Any]]
    ) -> grpc.RpcMethodHandler:
        kind = messages.message_class(f"tensorflow.serving.{api}Request")
        response = messages.message_class(f"tensorflow.serving.{api}Response")

        # A stream of requests, for gRPC, which looks the same to a client that sends one: so this
        # code receives it, and not gRPC, however much there is.
        async def call(_: Any, context: grpc.aio.ServicerContext) -> Any:
            data = await self._intake.read(context) or b""  # the end of a stream is false
            self._answering += 1
            try:
                with self._intake.held() if len(data) > LIGHT else _UNCOUNTED as take:
                    request, fault = await self._parse(kind, data, take)
                    data = None
                    model = request.model_spec.name
                    with recorded(self._metrics, model=model, api=api, entry="GRPC"):
                        if fault is not None:
                            raise fault
                        return await answer(self._models, request)
            except Refusal as refusal:
                code, text = refusal.code, str(refusal)
            finally:
                self._answering -= 1
            # What `abort` raises is kept by the call, which it refers to: only the next round of
            # the garbage collector frees them, and with them what is still known here, or would be
            # the context of an error.
            data = request = model = fault = None
            return await _refuse(context, code, text)

        return grpc.stream_unary_rpc_method_handler(call, None, response.SerializeToString)

    async def _parse(
        self, kind: Any, data: bytes, take: Callable[[int], None]
    ) -> tuple[Any, MiteError | None]:
        """Returns the message that bytes hold; an empty one and why, where that is refused."""
        try:
            if self._stopping:
                raise stopping()
            take(len(data))
            return await self._models.lanes.read(len(data), messages.parse, kind, data), None
        except MiteError as error:
            return kind(), error.with_traceback(None)

    def _guarded(self, method: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """Returns a method of health or reflection that receives its requests as the others do.

        By itself gRPC takes bytes that are no message for a failure of the server.
        """

        async def requests(context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            while (data := await self._intake.read(context)) is not grpc.aio.EOF:
                request = None
                if len(data) <= _LONGEST_NAME:
                    with suppress(DecodeError):
                        request = method.request_deserializer(data)
                data = None
                if request is None:
                    told = "The bytes are no such message."
                    await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, told)
                yield request

        async def one(_: Any, context: grpc.aio.ServicerContext) -> Any:
            async for request in requests(context):
                with suppress(NotImplementedError):  # which has set the status
                    return await method.unary_unary(request, context)
                return None
            return await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "No message was sent.")

        async def watch(_: Any, context: grpc.aio.ServicerContext) -> None:
            if self._watching >= _WATCHING:
                full = f"{_WATCHING} calls watch already. Ask now and then instead."
                await _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, full)
            self._watching += 1
            try:
                async for request in requests(context):
                    return await method.unary_stream(request, context)
            finally:
                self._watching -= 1

        async def many(_: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            async for response in method.stream_stream(requests(context), context):
                yield response

        serialize = method.response_serializer
        if method.unary_unary:
            return grpc.stream_unary_rpc_method_handler(one, None, serialize)
        both = watch if method.unary_stream else many
        return grpc.stream_stream_rpc_method_handler(both, None, serialize)

    def _listen(self) -> int:
        host, port = self._options.host, self._options.port
        bound(host, port, side="gRPC").close()  # it tells why where gRPC would not
        address = f"{f'[{host}]' if ':' in host else host}:{port}"
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
        self._thinning = asyncio.create_task(self._thin_out())

    async def _thin_out(self) -> None:
        while True:
            await asyncio.sleep(_THIN_OUT)
            # A question to the system for each connection, and a turn of the interpreter for each.
            await asyncio.to_thread(thin_out, self.port, self._most)

    async def stop(self, seconds: float) -> None:
        """Reports not to be healthy, takes no more requests, and answers those that it has.

        What comes by the connections that there are is refused; after so many seconds they end.
        """
        self._stopping = True
        await self._health.enter_graceful_shutdown()
        end = time.perf_counter() + seconds
        quiet = time.perf_counter() + _QUIET
        while time.perf_counter() < min(quiet, end):
            if self._answering:
                quiet = time.perf_counter() + _QUIET
            await asyncio.sleep(_QUIET / 8)
        if self._thinning is not None:
            self._thinning.cancel()
        cut(self.port)
        await self._server.stop(None)


async def _refuse(context: grpc.aio.ServicerContext, code: grpc.StatusCode, text: str) -> Any:
    try:
        await context.abort(code, text)
    except grpc.aio.InternalError:
        # It has ended meanwhile, by its caller or for what gRPC itself refuses: no error of ours.
        raise asyncio.CancelledError from None


class _Methods(dict[str, dict[str, grpc.RpcMethodHandler]]):
    """Stands in for a server where generated code adds the methods of a service."""

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        pass

    def add_registered_method_handlers(self, service: str, methods: Any) -> None:
        self[service] = methods
