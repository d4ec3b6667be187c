"""The HTTP side of a server: TensorFlow Serving's REST forms and metrics, OpenAI's, and search."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import numpy as np
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mite_tf.serving.backends.backend import check_shape
from mite_tf.serving.server.body import receive
from mite_tf.serving.server.connections import bound, cut
from mite_tf.serving.server.http_connections import Uvicorn
from mite_tf.serving.server.intake import Intake
from mite_tf.serving.server.json_tensors import count_values, parse_request, to_input, to_json
from mite_tf.serving.server.lanes import LIGHT
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.mixed_inputs import embed_inputs
from mite_tf.serving.server.model_version import ModelVersion
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.openai_api import (
    check_dimensions,
    parse_embeddings,
    to_answer,
    to_error,
    to_models,
)
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.outcomes import Refusal, invalid, recorded, stopping
from mite_tf.serving.server.search_api import SearchApi, parse_search
from mite_tf.serving.server.service import embed, find_signature, model_metadata, model_status
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
    StatusCode.DEADLINE_EXCEEDED: 408,
}
# Seconds in which requests that were on their way are told that the server stops.
_QUIET = 0.2
# Seconds between two looks whether a caller still waits.
_LOOK = 0.1

_Answer = Callable[[Request, "re.Match[str]"], Awaitable[Response]]


# no example: made by `Server`, which needs an export; see `start_server`.
class HttpServer:
    """Listens for HTTP, or HTTPS; a taken port is an error."""

    def __init__(
        self,
        options: ServerOptions,
        models: Models,
        metrics: Metrics,
        intake: Intake,
        search: SearchApi | None = None,
    ) -> None:
        self._models = models
        self._search = search
        self._metrics = metrics
        self._intake = intake
        self._most_bytes = options.max_message_bytes
        self._stopping = False
        predict = self._route(_PREDICT, "predict", self._predict)
        show = self._route(_STATUS, "", self._show)
        routes = [
            Route(_METRICS, self._show_metrics, methods=["GET"]),
            Route("/search", self._named("search", self._find, _plain_error), methods=["POST"]),
            Route(
                "/v1/embeddings",
                self._named("embeddings", self._embed, to_error),
                methods=["POST"],
            ),
            Route("/v1/models", self._named("models", self._list, to_error), methods=["GET"]),
            # TensorFlow Serving does not mind whether it is a small v.
            *(Route(f"/{v}1/{{path:path}}", predict, methods=["POST"]) for v in "vV"),
            *(Route(f"/{v}1/{{path:path}}", show, methods=["GET"]) for v in "vV"),
        ]
        self._app = Starlette(routes=routes)
        listener = bound(options.host, options.http_port or 0, side="HTTP")
        self.port: int = listener.getsockname()[1]
        tls = options.tls
        self._server = Uvicorn(
            self._admit,
            listener,
            timeout_graceful_shutdown=int(options.grace_seconds),
            ssl_certfile=tls.cert if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
        )
        self._socket = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answers from now on."""
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.01)

    async def stop(self, seconds: float) -> None:
        """Takes no more requests and answers those that it has; ends after so many seconds."""
        self._stopping = True
        if self._task is None:
            self._socket.close()
            return
        self._server.close()
        await asyncio.sleep(min(_QUIET, seconds))
        self._server.config.timeout_graceful_shutdown = max(1, int(seconds - _QUIET))
        self._server.should_exit = True
        await self._task
        cut(self.port)

    async def _admit(self, scope: Any, receive: Any, send: Any) -> None:
        if self._stopping:
            # Who still sends could not read the answer, as the connection ends with it.
            with suppress(Refusal):
                async with self._intake.in_time():
                    while (await receive()).get("more_body"):
                        pass
            close = {"connection": "close"}
            refused = JSONResponse({"error": str(stopping())}, 503, close)
            await refused(scope, receive, send)
            return
        with self._intake.held() as take:
            scope["mite.take"] = take
            await self._app(scope, receive, send)

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
                return _plain_error(refusal, _status_of(refusal))

        return route

    def _named(
        self,
        name: str,
        answer: Callable[[Request], Awaitable[Response]],
        error: Callable[[Refusal, int], Response],
    ) -> Callable[[Request], Awaitable[Response]]:
        """Returns the route of a path that names no model, with its own form of errors."""

        async def route(request: Request) -> Response:
            try:
                with recorded(self._metrics, model=name, api=name, entry="REST"):
                    return await answer(request)
            except Refusal as refusal:
                return error(refusal, _status_of(refusal))

        return route

    async def _parsed(self, request: Request, parse: Callable[[bytes], Any]) -> Any:
        """Receives a body and reads it, within the bounds of all bodies."""
        take = request.scope["mite.take"]
        body = await receive(request, self._intake, take, self._most_bytes)
        read = self._models.lanes.read
        values = await read(len(body), count_values, body)
        return await read(len(body), parse, body, values=values)

    async def _find(self, request: Request) -> Response:
        if self._search is None:
            raise Refusal(StatusCode.NOT_FOUND, "There is no index: serve with --index INDEX.")
        query = await self._parsed(request, parse_search)
        text = await _while_wanted(request, self._search.answer(query))
        return Response(text, media_type="application/json")

    async def _embed(self, request: Request) -> Response:
        question = await self._parsed(request, parse_embeddings)
        check_dimensions(question, self._models.find(messages.ModelSpec(name="text")).backend)
        answer = embed_inputs(self._models, question.inputs)
        vectors, tokens, version = await _while_wanted(request, answer)
        export = version.backend.export
        read = self._models.lanes.read
        text = await read(4 * vectors.nbytes, to_answer, question, vectors, tokens, export)
        return Response(text, media_type="application/json")

    async def _list(self, request: Request) -> Response:
        return to_models(self._models.find(messages.ModelSpec(name="text")).backend)

    async def _predict(self, request: Request, found: re.Match[str]) -> Response:
        if found["method"].lower() != "predict":
            raise Refusal(
                StatusCode.UNIMPLEMENTED,
                f"{found['method']} takes tf.Example, which no encoder does. Use predict.",
            )
        take = request.scope["mite.take"]
        body = await receive(request, self._intake, take, self._most_bytes)
        version = self._models.find(_spec(found))
        with version.used():
            read = self._models.lanes.read
            values = await read(len(body), count_values, body)
            name, array, by_row = await read(len(body), _read, version, body, values=values)
            light = len(body) <= LIGHT and version.backend.signatures[name].input == "text"
            del body
            answer = embed(version, name, array)
            embedding = await (answer if light else _while_wanted(request, answer))
            text = await read(4 * embedding.nbytes, to_json, embedding, by_row)
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


def _plain_error(refusal: Refusal, status: int) -> Response:
    return JSONResponse({"error": str(refusal)}, status)


def _status_of(refusal: Refusal) -> int:
    return getattr(refusal, "status", _HTTP[refusal.code])


def _read(version: ModelVersion, body: bytes) -> tuple[str, np.ndarray, bool]:
    """Returns name and input of the signature that a body asks, and whether it asks by row."""
    name, values, by_row = parse_request(body)
    name, signature = find_signature(version, name)
    array = to_input(values, by_row, signature, version.check_rows)
    check_shape(signature, array.shape)
    return name, array, by_row


async def _while_wanted(request: Request, answer: Coroutine[Any, Any, Any]) -> Any:
    """Awaits an answer that costs much, and gives it up when its caller has gone."""
    work = asyncio.ensure_future(answer)
    try:
        while not work.done():
            await asyncio.wait((work,), timeout=_LOOK)
            if not work.done() and await request.is_disconnected():
                raise Refusal(StatusCode.CANCELLED, "The caller has gone.")
        return work.result()
    finally:
        work.cancel()
        del work  # it holds the error that it ends with, which would lead to it


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
