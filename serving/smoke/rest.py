"""Checks over HTTP: TensorFlow Serving's REST forms and its metrics."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np

from mite_tf.serving.smoke.answers import SENTENCES
from mite_tf.serving.smoke.subject import MODELS, Failed, Subject

METRICS = "/monitoring/prometheus/metrics"
COUNTER = ":tensorflow:serving:request_count"


def rest(subject: Subject) -> str:
    """Both models are AVAILABLE, and a sentence gets the embedding that gRPC gives."""
    for model in MODELS:
        states = json.loads(_http(subject, f"/v1/models/{model}"))["model_version_status"]
        if "AVAILABLE" not in [each["state"] for each in states]:
            raise Failed(f"{model}: {states}")
    label = f"/labels/{subject.label}" if subject.label else ""
    body = json.dumps({"instances": SENTENCES[:2]}).encode()
    answer = json.loads(_http(subject, f"/v1/models/text{label}:predict", body))
    found = np.array(answer["predictions"], np.float32)
    expected = subject.client.embed_text(SENTENCES[:2])
    if found.shape != expected.shape or not np.abs(found - expected).max() <= subject.tolerance:
        raise Failed(f"predictions of shape {list(found.shape)} are not those of gRPC")
    return "answers as gRPC does"


def metrics(subject: Subject) -> str:
    """Prometheus finds the count of requests."""
    page = _http(subject, METRICS).decode()
    if COUNTER not in page:
        raise Failed(f"{METRICS} has no {COUNTER}; is --monitoring_config_file set?")
    return METRICS


def _http(subject: Subject, path: str, body: bytes | None = None) -> bytes:
    request = Request(f"http://{subject.http}{path}", body)
    try:
        with urlopen(request, timeout=subject.timeout) as response:
            data: Any = response.read()
            return bytes(data)
    except HTTPError as error:
        with error:
            text = error.read().decode(errors="replace").strip()[:200]
        raise Failed(f"{path}: HTTP {error.code}: {text}") from error
