"""Eight clients who ask as they should, and a ninth that asks whether all is well."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2

from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_array
from tests.benchmarks.serving_processes import request_of

CAPTIONS = ["a dog runs.", "red circle left", "dogs, green square", "", "é ✓ ünder", "run " * 40]
_TOLERANCE = {"text": 2e-6, "image": 2e-5}
_PAUSE = 0.03  # seconds between an answer and the next request
_TIMEOUT = 30.0

Answers = Sequence[Mapping[str, np.ndarray]]


def ask(
    ports: tuple[int, int],
    seconds: float,
    inputs: Mapping[str, list[bytes]],
    answers: Answers,
    authority: Path | None = None,
) -> dict[str, Any]:
    """Asks with all clients for so long; returns what was counted.

    `answers` holds the embeddings of each export that may answer. They encrypt if the server has
    a certificate of an `authority`.
    """
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    ends: Counter[str] = Counter()
    end = time.monotonic() + seconds

    def client(kind: str, ask: Callable[[int], str], number: int) -> None:
        while time.monotonic() < end:
            start = time.monotonic()
            try:
                ends[ask(number)] += 1
            except grpc.RpcError as error:
                busy = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                ends["refused" if busy else f"{error.code().name}: {error.details()}"] += 1
            except (OSError, ValueError, http.client.HTTPException) as error:
                ends[f"{type(error).__name__}: {error}"] += 1
            latencies[kind].append(time.monotonic() - start)
            number += 1
            time.sleep(_PAUSE)

    with ExitStack() as stack:
        asks: list[tuple[str, Callable[[int], str]]] = []
        for model in ("text", "text", "image", "image"):
            channel = stack.enter_context(_channel(ports[0], authority))
            connection = stack.enter_context(closing(_connection(ports[1], authority)))
            asks += [
                (f"{model}, gRPC", partial(_grpc, channel, model, inputs[model], answers)),
                (f"{model}, REST", partial(_rest, connection, model, inputs[model], answers)),
            ]
        asks.append(
            ("health", partial(_health, stack.enter_context(_channel(ports[0], authority))))
        )
        threads = [
            threading.Thread(target=client, args=(*each, number))
            for number, each in enumerate(asks)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    every = np.concatenate(list(latencies.values()))
    p50, p99, most = np.quantile(every, [0.5, 0.99, 1.0])
    return {
        "good requests": len(every),
        "right": ends.pop("right", 0),
        "wrong": ends.pop("wrong", 0),
        "refused": ends.pop("refused", 0),
        "failed": dict(ends.most_common(5)),
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "p99 of each kind": {
            kind: round(float(np.quantile(each, 0.99)), 3) for kind, each in latencies.items()
        },
        "longest": round(float(most), 3),
    }


def _channel(port: int, authority: Path | None) -> grpc.Channel:
    options = [("grpc.use_local_subchannel_pool", 1)]
    if authority is None:
        return grpc.insecure_channel(f"127.0.0.1:{port}", options)
    credentials = grpc.ssl_channel_credentials(authority.read_bytes())
    return grpc.secure_channel(f"localhost:{port}", credentials, options)


def _connection(port: int, authority: Path | None) -> http.client.HTTPConnection:
    if authority is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    context = ssl.create_default_context(cafile=authority)
    return http.client.HTTPSConnection("localhost", port, timeout=_TIMEOUT, context=context)


def _grpc(
    channel: grpc.Channel, model: str, inputs: list[bytes], answers: Answers, number: int
) -> str:
    numbers = _rows(number, len(inputs))
    value = np.array([inputs[each] for each in numbers], object)
    predict = channel.unary_unary(
        f"/{PREDICTION_SERVICE}/Predict",
        PredictRequest.SerializeToString,
        PredictResponse.FromString,
    )
    name = "text" if model == "text" else "image_bytes"
    response = predict(request_of(model, name, value), timeout=_TIMEOUT)
    expected = answers[response.model_spec.version.value % len(answers)]
    return _verdict(to_array(response.outputs["embedding"]), [expected], model, numbers)


def _rest(
    connection: http.client.HTTPConnection,
    model: str,
    inputs: list[bytes],
    answers: Answers,
    number: int,
) -> str:
    numbers = _rows(number, len(inputs))
    rows: list[Any] = [inputs[each] for each in numbers]
    rows = [
        row.decode() if model == "text" else {"b64": base64.b64encode(row).decode()} for row in rows
    ]
    try:
        connection.request("POST", f"/v1/models/{model}:predict", json.dumps({"instances": rows}))
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        raise
    if response.status != 200:
        return f"{response.status} {body.decode()[:100]}"
    found = np.array(json.loads(body)["predictions"], np.float32)
    return _verdict(found, answers, model, numbers)


def _health(channel: grpc.Channel, number: int) -> str:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    serving = check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT).status == 1
    return "right" if serving else "wrong"


def _rows(number: int, count: int) -> list[int]:
    """One row, or every fifth time three."""
    return [(number + each) % count for each in range(3 if number % 5 == 0 else 1)]


def _verdict(found: np.ndarray, answers: Answers, model: str, numbers: list[int]) -> str:
    for each in answers:
        expected = each[model][numbers]
        if found.shape == expected.shape and np.abs(found - expected).max() < _TOLERANCE[model]:
            return "right"
    return "wrong"
