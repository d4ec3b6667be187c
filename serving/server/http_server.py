"""The HTTP side of a server: TensorFlow Serving's REST forms, and its metrics page."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import numpy as np
import uvicorn
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mite_tf.errors import MiteError
from mite_tf.serving.server.json_tensors import count_values, parse_request, to_input, to_json
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.model_version import ModelVersion
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.outcomes import Refusal, invalid, recorded
from mite_tf.serving.server.service import (
    embed,
    find_signature,
    light,
    model_metadata,
    model_status,
)
from mite_tf.serving.wire import messages

_METRICS = "/monitoring/prometheus/metrics"
# As model_servers/http_rest_api_util.cc of TensorFlow Serving reads a path.
_MODEL = (
    r"(?i:/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
)
_PREDICT = re.compile(_MODEL + r":(?P<method>classify|regress|predict))")
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?)")
# As model_servers/http_server.cc of TensorFlow Serving maps statuses.
_HTTP = {
    StatusCode.CANCELLED: 499,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.NOT_FOUND: 404,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INTERNAL: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
}

_Answer = Callable[[Request, "re.Match[str]"], Awaitable[Response]]


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the code that runs the event loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _TooLarge(Refusal):
    """A body beyond the limit, which has a status of its own in HTTP."""


# no example: made by `Server`, which needs an export; see `start_server`.
class HttpServer:
    """Listens for HTTP, or HTTPS; a taken port or unusable certificates are errors."""

    def __init__(self, options: ServerOptions, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics
        self._most_bytes = options.max_message_bytes
        predict = self._route(_PREDICT, "predict", self._predict)
        show = self._route(_STATUS, "", self._show)
        routes = [
            Route(_METRICS, self._show_metrics, methods=["GET"]),
            # TensorFlow Serving does not mind whether it is a small v.
            *(Route(f"/{v}1/{{path:path}}", predict, methods=["POST"]) for v in "vV"),
            *(Route(f"/{v}1/{{path:path}}", show, methods=["GET"]) for v in "vV"),
        ]
        tls = options.tls
        try:
            config = uvicorn.Config(
                Starlette(routes=routes),
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=max(1, int(options.grace_seconds)),
                ssl_certfile=tls.cert if tls else None,
                ssl_keyfile=tls.key if tls else None,
                ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
            )
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise MiteError(f"The certificates cannot be used: {error}") from error
        self._server = _Uvicorn(config)
        self._socket = _listen(options.host, options.http_port or 0)
        self.port: int = self._socket.getsockname()[1]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answers from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Takes no more requests and answers those that it has."""
        self._server.should_exit = True
        if self._task is None:
            self._socket.close()
        else:
            await self._task

    def _route(
        self, pattern: re.Pattern[str], api: str, answer: _Answer
    ) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            path = request.scope["path"]
            found = pattern.fullmatch(path)
            model = found["name"] if found else ""
            try:
                with recorded(self._metrics, model=model, api=api, entry="REST"):
                    if found is None:
                        raise invalid(
                            f"Malformed request: {request.method} {path}. Say /v1/models/NAME, "
                            "/v1/models/NAME/metadata or /v1/models/NAME:predict."
                        )
                    return await answer(request, found)
            except Refusal as refusal:
                status = 413 if isinstance(refusal, _TooLarge) else _HTTP[refusal.code]
                return JSONResponse({"error": str(refusal)}, status)

        return route

    async def _predict(self, request: Request, found: re.Match[str]) -> Response:
        if found["method"].lower() != "predict":
            raise Refusal(
                StatusCode.UNIMPLEMENTED,
                f"{found['method']} takes tf.Example, which no encoder does. Use predict.",
            )
        body = await _body(request, self._most_bytes)
        version = self._models.find(_spec(found))
        with version.used():
            values = await light(len(body), count_values, body)
            name, array, by_row = await light(len(body), _read, version, body, values=values)
            del body
            embedding = await embed(version, name, array)
            text = await light(4 * embedding.nbytes, to_json, embedding, by_row)
        return Response(text, media_type="application/json")

    async def _show(self, request: Request, found: re.Match[str]) -> Response:
        spec = _spec(found)
        if not found["metadata"]:
            asked = messages.GetModelStatusRequest(model_spec=spec)
            status = await model_status(self._models, asked)
            return _indented(MessageToDict(status, always_print_fields_with_no_presence=True))
        field = "signature_def"
        asked = messages.GetModelMetadataRequest(model_spec=spec, metadata_field=[field])
        described = await model_metadata(self._models, asked)
        signatures = messages.SignatureDefMap()
        described.metadata[field].Unpack(signatures)
        metadata = {field: _plain(signatures)}
        return _indented({"model_spec": _plain(described.model_spec), "metadata": metadata})

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MiteError(
            f"HTTP cannot listen on {host}:{port}: {error.strerror}. Name another port."
        ) from error
    return listener


def _read(version: ModelVersion, body: bytes) -> tuple[str, np.ndarray, bool]:
    """Returns name and input of the signature that a body asks, and whether it asks by row."""
    name, values, by_row = parse_request(body)
    name, signature = find_signature(version, name)
    return name, to_input(values, by_row, signature, version.check_rows), by_row


async def _body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _TooLarge(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"The body is larger than {limit} bytes. Send fewer rows in a request.",
                )
            parts.append(part)
    except ClientDisconnect as gone:
        raise Refusal(StatusCode.CANCELLED, "The caller has gone.") from gone
    return b"".join(parts)


def _spec(found: re.Match[str]) -> Any:
    spec = messages.ModelSpec(name=unquote(found["name"]))
    if found["version"]:
        digits = found["version"].lstrip("0") or "0"
        if len(digits) > 19 or int(digits) >= 1 << 63:
            raise invalid(f"Failed to convert version: {digits} to numeric.")
        spec.version.value = int(digits)
    if found["label"]:
        spec.version_label = unquote(found["label"])
    return spec


def _indented(value: Any) -> Response:
    return Response(json.dumps(value, indent=1), media_type="application/json")


def _plain(message: Any) -> Any:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
