"""TensorFlow Serving's REST forms, and its metrics page."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mite_tf.serving.backends.backend import MODELS
from mite_tf.serving.server.grpc_service import record
from mite_tf.serving.server.json_tensors import parse_request, to_input, to_json
from mite_tf.serving.server.metadata import SIGNATURE_DEF, model_metadata, model_status
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.predict import DEFAULT_SIGNATURE, find_signature
from mite_tf.serving.server.status import Refusal, as_refusal
from mite_tf.serving.wire.messages import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    SignatureDefMap,
)

METRICS = "/monitoring/prometheus/metrics"
# As model_servers/http_rest_api_util.cc of TensorFlow Serving reads a path.
_MODEL = r"(?i:/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(_MODEL + r":(?P<method>classify|regress|predict))")
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?)")
# As model_servers/http_server.cc of TensorFlow Serving maps statuses.
_HTTP = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.NOT_FOUND: 404,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INTERNAL: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
}
# Reading or writing more JSON than this would hold up other requests.
_LIGHT = 1 << 16

_log = logging.getLogger("mite_tf.serving")


class _TooLarge(Refusal):
    """A body beyond the limit, which has a status of its own in HTTP."""


def application(options: ServerOptions, models: Models, metrics: Metrics) -> Starlette:
    """Returns the application.

    Args:
        options: Settings of the server.
        models: The models.
        metrics: Counts requests, and is shown.
    """

    async def predict(request: Request) -> Response:
        return await _predict(request, models, metrics, options.max_message_bytes)

    async def show(request: Request) -> Response:
        return await _show(request, models, metrics)

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route(METRICS, show_metrics, methods=["GET"]),
            # TensorFlow Serving does not mind whether it is a small v.
            *(Route(f"/{v}1/{{path:path}}", predict, methods=["POST"]) for v in "vV"),
            *(Route(f"/{v}1/{{path:path}}", show, methods=["GET"]) for v in "vV"),
        ]
    )


async def _predict(request: Request, models: Models, metrics: Metrics, limit: int) -> Response:
    async def answer(found: re.Match[str]) -> Response:
        if found["method"].lower() != "predict":
            raise Refusal(
                StatusCode.UNIMPLEMENTED,
                f"{found['method']} takes tf.Example, which no encoder does. Use predict.",
            )
        body = await _body(request, limit)
        version = models.find(_spec(found))
        with version.used():
            asked = await _light(len(body), parse_request, body)
            name = asked.signature_name or DEFAULT_SIGNATURE
            try:
                signature = find_signature(version, name)
            except Refusal as refusal:
                # GetInfoMap of http_rest_api_handler.cc has a status of its own.
                raise Refusal(StatusCode.INVALID_ARGUMENT, str(refusal)) from refusal
            array = await _light(len(body), to_input, asked, signature)
            embedding = await version.embed(name, array)
            text = await _light(
                4 * embedding.nbytes, lambda: to_json(embedding, by_row=asked.by_row)
            )
        return Response(text, media_type="application/json")

    return await _answered(request, _PREDICT, "predict", answer, metrics)


async def _show(request: Request, models: Models, metrics: Metrics) -> Response:
    async def answer(found: re.Match[str]) -> Response:
        spec = _spec(found)
        if not found["metadata"]:
            status = model_status(models, GetModelStatusRequest(model_spec=spec))
            return _json(status)
        described = model_metadata(
            models, GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        )
        signatures = SignatureDefMap()
        described.metadata[SIGNATURE_DEF].Unpack(signatures)
        plain = {
            "model_spec": _plain(described.model_spec),
            "metadata": {SIGNATURE_DEF: _plain(signatures)},
        }
        return Response(json.dumps(plain, indent=1), media_type="application/json")

    return await _answered(request, _STATUS, "", answer, metrics)


async def _answered(
    request: Request,
    pattern: re.Pattern[str],
    api: str,
    answer: Callable[[re.Match[str]], Awaitable[Response]],
    metrics: Metrics,
) -> Response:
    """Answers, counts, and turns errors into statuses."""
    start = time.perf_counter()
    path = request.scope["path"]
    found = pattern.fullmatch(path)
    model = found["name"] if found and found["name"] in MODELS else "unknown"
    code, message = "CANCELLED", ""
    try:
        if found is None:
            raise Refusal(
                StatusCode.INVALID_ARGUMENT,
                f"Malformed request: {request.method} {path}. Say /v1/models/NAME, "
                "/v1/models/NAME/metadata or /v1/models/NAME:predict.",
            )
        response = await answer(found)
        code = "OK"
        return response
    except ClientDisconnect:
        return Response(status_code=499)  # as TensorFlow Serving calls a caller who went away
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            _log.exception("request failed", extra={"model": model, "api": api})
            refusal = Refusal(StatusCode.INTERNAL, f"The server failed: {error!r}")
        code, message = refusal.code.name, str(refusal)
        status = 413 if isinstance(refusal, _TooLarge) else _HTTP[refusal.code]
        return JSONResponse({"error": message}, status)
    finally:
        record(metrics, api, "REST", model, code, message, start)


async def _light(size: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function here, or in a thread if there is much to do."""
    if size <= _LIGHT:
        return function(*arguments)
    return await run_in_threadpool(function, *arguments)


async def _body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _TooLarge(
                StatusCode.RESOURCE_EXHAUSTED,
                f"The body is larger than {limit} bytes. Send fewer rows in a request.",
            )
        parts.append(part)
    return b"".join(parts)


def _spec(found: re.Match[str]) -> Any:
    spec = ModelSpec(name=unquote(found["name"]))
    if found["version"]:
        number = int(found["version"])
        if number >= 1 << 63:
            raise Refusal(
                StatusCode.INVALID_ARGUMENT, f"Failed to convert version: {number} to numeric."
            )
        spec.version.value = number
    if found["label"]:
        spec.version_label = unquote(found["label"])
    return spec


def _json(message: Any) -> Response:
    plain = MessageToDict(message, always_print_fields_with_no_presence=True)
    return Response(json.dumps(plain, indent=1), media_type="application/json")


def _plain(message: Any) -> Any:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
