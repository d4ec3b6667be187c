"""The services of TensorFlow Serving over gRPC."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from mite_tf.serving.backends.backend import MODELS
from mite_tf.serving.server.metadata import model_metadata, model_status
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.predict import predict
from mite_tf.serving.server.status import Refusal, as_refusal
from mite_tf.serving.wire.messages import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
)

_log = logging.getLogger("mite_tf.serving")


class Gate:
    """Lets requests in, until the server stops.

    gRPC itself would cancel requests that have come but that it has not handed on, which no client
    takes for a reason to ask another server.

    Attributes:
        last: When the last request came, by `time.perf_counter`.
    """

    def __init__(self) -> None:
        self._is_open = True
        self.last = 0.0

    def close(self) -> None:
        """Refuses requests from now on."""
        self._is_open = False

    def enter(self, now: float) -> None:
        """Refuses a request if the server stops."""
        self.last = now
        if not self._is_open:
            raise Refusal(
                grpc.StatusCode.UNAVAILABLE, "The server is stopping. Ask again, or another one."
            )


def handlers(models: Models, metrics: Metrics, gate: Gate) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of both services; what they do not name is UNIMPLEMENTED.

    Args:
        models: The models.
        metrics: Counts requests.
        gate: Closes when the server stops.
    """

    async def metadata(request: Any) -> Any:
        return model_metadata(models, request)

    async def status(request: Any) -> Any:
        return model_status(models, request)

    async def embed(request: Any) -> Any:
        return await predict(models, request)

    def handler(api: str, answer: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            _answered(api, answer, metrics, gate), request.FromString, response.SerializeToString
        )

    prediction = {
        "Predict": handler("Predict", embed, PredictRequest, PredictResponse),
        "GetModelMetadata": handler(
            "GetModelMetadata", metadata, GetModelMetadataRequest, GetModelMetadataResponse
        ),
    }
    model = {
        "GetModelStatus": handler(
            "GetModelStatus", status, GetModelStatusRequest, GetModelStatusResponse
        )
    }
    return [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction),
        grpc.method_handlers_generic_handler(MODEL_SERVICE, model),
    ]


def _answered(
    api: str, answer: Callable[[Any], Awaitable[Any]], metrics: Metrics, gate: Gate
) -> Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]:
    """Wraps a method: counts, logs, and turns errors into statuses."""

    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        start = time.perf_counter()
        model = request.model_spec.name
        model = model if model in MODELS else "unknown"
        code, message = "CANCELLED", ""
        try:
            gate.enter(start)
            response = await answer(request)
            code = "OK"
            return response
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is None:
                _log.exception("request failed", extra={"model": model, "api": api})
                code, message = "INTERNAL", f"The server failed: {error!r}"
                await context.abort(grpc.StatusCode.INTERNAL, message)
            else:
                code, message = refusal.code.name, str(refusal)
                await context.abort(refusal.code, message)
        finally:
            record(metrics, api, "GRPC", model, code, message, start)

    return call


def record(
    metrics: Metrics, api: str, entry: str, model: str, code: str, message: str, start: float
) -> None:
    """Counts and logs a request that has ended.

    Args:
        metrics: Counts it.
        api: Method, such as `Predict`.
        entry: `GRPC` or `REST`.
        model: Name of the model.
        code: Name of the status.
        message: Why it was refused.
        start: When it began, by `time.perf_counter`.
    """
    seconds = time.perf_counter() - start
    metrics.count(model, code)
    if code == "OK":
        metrics.latency_of(model, api, entry).observe(1e6 * seconds)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug(
            "request",
            extra={
                "model": model, "api": api, "entry": entry, "status": code, "error": message,
                "milliseconds": round(1e3 * seconds, 3),
            },
        )  # fmt: skip
