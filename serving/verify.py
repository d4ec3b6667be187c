"""Proof that a server serves an export: what it says of it, and what it answers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest, of_one_version
from mite_tf.export.verification.check import Check, compare, compare_embeddings
from mite_tf.export.verification.golden import Golden, read_golden
from mite_tf.serving.client import ClientTLS, EmbeddingClient, EmbeddingError, ModelMetadata, Tensor
from mite_tf.serving.client.connection import Connection, bearer
from mite_tf.serving.client.protocol import SILENCE, told_when_silent
from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictRequest
from mite_tf.serving.wire.tensors import to_tensor

_log = logging.getLogger("mite_tf.serving.client")
_MODELS = ("image", "text")
_METRICS = "/monitoring/prometheus/metrics"
_COUNTER = ":tensorflow:serving:request_count"
# Single captions sent by so many threads; a batch of the server holds several of them.
_THREADS, _AT_ONCE = 16, 64
# NumPy's names of types, as a manifest has them, where TensorFlow's differ.
_TYPES = {"float32": "float", "float64": "double"}
_TEXT = {"text": np.array([b"a dog"], object)}
# Wrong requests and their status codes: servables/tensorflow/predict_util.cc and core/manager.cc of
# TensorFlow Serving; the shape is checked by the graph itself.
_WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown model": ("NOT_FOUND", {"model": "other"}),
    "unknown version": ("NOT_FOUND", {"version": 987654}),
    "unknown signature": ("FAILED_PRECONDITION", {"signature": "other"}),
    "wrong input name": ("INVALID_ARGUMENT", {"inputs": {"other": _TEXT["text"]}}),
    "no input": ("INVALID_ARGUMENT", {"inputs": {}}),
    "wrong type": ("INVALID_ARGUMENT", {"inputs": {"text": np.zeros(1, np.float32)}}),
    "wrong shape": (
        "INVALID_ARGUMENT",
        {"inputs": {"token_ids": np.zeros((1, 2, 3), np.int32)}, "signature": "token_ids"},
    ),
    "no image": ("INVALID_ARGUMENT", {"model": "image", "inputs": {"image_bytes": _TEXT["text"]}}),
}


def verify_server(
    export: str | Path,
    server: str,
    *,
    http: str | None = None,
    tls: ClientTLS | None = None,
    token: str | None = None,
    version_label: str | None = None,
    tolerance: float = 1e-4,
    timeout: float = 10.0,
    wait: float = 30.0,
) -> list[Check]:
    """Checks that a server serves an export, and answers as Keras did when it was made.

    Args:
        export: The export folder; its manifest and its cases are read.
        server: Address of gRPC; port 8500 unless it says another.
        http: Address of REST and metrics, such as `localhost:8501`; None to leave them out.
        tls: Certificates; None without TLS.
        token: Sent with each request; to another machine only by TLS.
        version_label: Label of the version to try; None for the one that the server prefers.
        tolerance: Greatest difference of a number in an embedding; 8-bit weights need more.
        timeout: Seconds for one request.
        wait: Seconds until both models must be loaded.

    Returns:
        The checks, also those that failed; the first alone if the models are not there.

    Raises:
        MiteError: If the folder is no export, or the arguments make no sense.

    Example:
        >>> verify_server("nowhere", "localhost:8500")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an export with `mite export`.
    """
    manifest, golden = of_one_version(
        export, lambda version: (version.manifest, read_golden(version.root))
    )
    target = server if ":" in server else f"{server}:8500"
    # What the client would never send goes through a channel of its own.
    connection = Connection(target, tls=tls, token=token)
    credentials = connection.credentials()
    channel = (
        grpc.insecure_channel(target, connection.options())
        if credentials is None
        else grpc.secure_channel(target, credentials, connection.options())
    )
    with (
        closing(channel),
        EmbeddingClient(
            target,
            tls=tls,
            token=token,
            version_label=version_label,
            timeout=timeout,
            in_flight=_THREADS,
        ) as client,
    ):
        headers = bearer(token) if token else None
        prover = _Prover(
            client, target, channel, manifest, golden, http, headers, version_label, tolerance,
            timeout,
        )  # fmt: skip
        return list(prover.checks(wait))


@dataclass(frozen=True)
class _Prover:
    client: EmbeddingClient
    target: str
    channel: grpc.Channel
    manifest: Manifest
    golden: Golden
    http: str | None
    headers: list[tuple[str, str]] | None
    label: str | None
    tolerance: float
    timeout: float

    def checks(self, wait: float) -> Iterator[Check]:
        """Yields all checks; ends after the first if the models are not there."""
        [status] = _tried("status", partial(self.status, wait))
        yield status
        if not status.passed:
            return
        proofs: dict[str, Callable[[], str | list[Check]]] = {
            "health": self.health,
            "signatures": self.signatures,
            "text": self.texts,
            "image": self.images,
            "many at once": self.at_once,
            "refusals": self.refusals,
        }
        if self.http is not None:
            proofs |= {"REST": self.rest, "metrics": self.metrics}
        for name, proof in proofs.items():
            yield from _tried(name, proof)

    def status(self, wait: float) -> str:
        """Waits until both models have a version that is AVAILABLE."""
        end, told = time.monotonic() + wait, False
        while True:
            try:
                states = self.client.status(timeout=max(0.1, end - time.monotonic()))
            except EmbeddingError as error:
                if error.code != "NOT_FOUND":  # not loaded yet is NOT_FOUND too
                    raise
                states = {}
            ready = {
                model: [each.version for each in states.get(model, []) if each.state == "AVAILABLE"]
                for model in _MODELS
            }
            if all(ready.values()):
                return ", ".join(f"{model} {found}" for model, found in ready.items())
            if time.monotonic() > end:
                raise MiteError(f"after {wait:g} s, AVAILABLE are: {ready}")
            if not told and time.monotonic() > end - wait + SILENCE:
                told = True
                _log.warning("waiting up to %g s for the models; AVAILABLE are: %s", wait, ready)
            time.sleep(0.5)

    def health(self) -> str:
        """The gRPC health protocol, where it is switched on, says SERVING."""
        try:
            answer = self.call("/grpc.health.v1.Health/Check", b"")
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return "not switched on (--enable_grpc_healthcheck_service)"
            raise
        if answer != b"\x08\x01":  # HealthCheckResponse(status=SERVING)
            raise MiteError(f"the answer is {answer!r}, not SERVING")
        return "SERVING"

    def signatures(self) -> str:
        """Versions, names, types and shapes are those of the manifest."""
        served = self.client.metadata()
        wrong = [each for model in _MODELS for each in self.compared(model, served[model])]
        if wrong:
            raise MiteError("; ".join(wrong))
        return f"version {self.manifest.version}, as in the manifest"

    def compared(self, model: str, served: ModelMetadata) -> Iterator[str]:
        """Yields what differs from the manifest."""
        if served.version != self.manifest.version:
            yield (
                f"{model}: version {served.version} is served; the export is version "
                f"{self.manifest.version}"
            )
        for name, each in getattr(self.manifest, model)["signatures"].items():
            shape = tuple(-1 if size is None else size for size in each["shape"])
            wanted = _told(
                {each["input"]: Tensor(_TYPES.get(each["dtype"], each["dtype"]), shape)},
                {"embedding": Tensor("float", (-1, self.manifest.embedding_size))},
            )
            found = served.signatures.get(name)
            given = _told(found.inputs, found.outputs) if found else "nothing"
            if given != wanted:
                yield f"{model}, {name}: {given} is served; the manifest describes {wanted}"

    def texts(self) -> list[Check]:
        """The captions of the export get the embeddings of Keras."""
        captions, expected = self.golden.captions, self.golden.caption_embeddings
        embed = self.client.embed_text
        return compare_embeddings("text", embed, captions, expected, self.tolerance)

    def images(self) -> list[Check]:
        """So do its images, or its features."""
        golden = self.golden
        inputs: Any = golden.files if golden.features is None else golden.features
        embed = self.client.embed_images if golden.features is None else self.client.embed_features
        return compare_embeddings("image", embed, inputs, golden.image_embeddings, self.tolerance)

    def at_once(self) -> list[Check]:
        """Each of many requests gets its own answer, not that of a neighbour in its batch."""
        golden = self.golden
        numbers = [number % len(golden.captions) for number in range(_AT_ONCE)]
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(self.client.embed_text, [[golden.captions[n]] for n in numbers])
            expected = golden.caption_embeddings[numbers]
            return [compare("many at once", np.concatenate([*found]), expected, self.tolerance)]

    def refusals(self) -> str:
        """Wrong requests get TensorFlow Serving's status codes, and right ones their answer."""
        wrong = []
        cases = dict(_WRONG)
        if self.golden.features is not None:  # the model takes no image files
            del cases["no image"]
        for name, (expected, request) in cases.items():
            try:
                self.predict(**request)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
            if code != expected:
                wrong.append(f"{name} gives {code}, not {expected}")
        answer = self.client.embed_text(self.golden.captions[:1])
        if not compare("", answer, self.golden.caption_embeddings[:1], self.tolerance).passed:
            wrong.append("a right request gets a wrong answer afterwards")
        if wrong:
            raise MiteError("; ".join(wrong))
        return f"{len(cases)} kinds, each with its code"

    def rest(self) -> list[Check]:
        """Both models are AVAILABLE over HTTP, and captions get the embeddings of Keras."""
        for model in _MODELS:
            states = json.loads(self.get(f"/v1/models/{model}"))["model_version_status"]
            if "AVAILABLE" not in [each["state"] for each in states]:
                raise MiteError(f"{model}: {states}")
        label = f"/labels/{self.label}" if self.label else ""
        body = json.dumps({"instances": self.golden.captions}).encode()
        answer = json.loads(self.get(f"/v1/models/text{label}:predict", body))
        found = np.array(answer["predictions"], np.float32)
        return [compare("REST", found, self.golden.caption_embeddings, self.tolerance)]

    def metrics(self) -> str:
        """Prometheus finds the count of requests."""
        if _COUNTER not in self.get(_METRICS).decode():
            raise MiteError(f"{_METRICS} has no {_COUNTER}; is --monitoring_config_file set?")
        return _METRICS

    def call(self, path: str, request: bytes) -> bytes:
        """Sends bytes to a gRPC method and returns the bytes that come back."""
        method = self.channel.unary_unary(path)
        with told_when_silent(self.target, self.timeout):
            return bytes(method(request, timeout=self.timeout, metadata=self.headers))

    def predict(
        self,
        *,
        model: str = "text",
        signature: str = "",
        version: int | None = None,
        inputs: Mapping[str, Any] = _TEXT,
    ) -> None:
        """Sends a `PredictRequest` of any content."""
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        elif self.label is not None:
            request.model_spec.version_label = self.label
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_tensor(array))
        self.call(f"/{PREDICTION_SERVICE}/Predict", request.SerializeToString())

    def get(self, path: str, body: bytes | None = None) -> bytes:
        """Returns what an address of REST gives."""
        url = f"http://{self.http}{path}"
        try:
            with urlopen(Request(url, body), timeout=self.timeout) as reply:
                return bytes(reply.read())
        except HTTPError as error:
            with error:
                text = error.read().decode(errors="replace").strip()[:200]
            raise MiteError(f"{path}: HTTP {error.code}: {text}") from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise MiteError(f"{url}: {reason}. Does a server answer REST there?") from error


def _tried(name: str, proof: Callable[[], str | list[Check]]) -> list[Check]:
    try:
        found = proof()
    except Exception as error:  # whatever a check meets is its outcome
        if isinstance(error, grpc.RpcError):
            reason = f"{error.code().name}: {error.details()}"
        elif isinstance(error, MiteError):
            reason = str(error)
        else:
            reason = f"{type(error).__name__}: {str(error).strip()[:200]!r}"
        return [Check(name, float("inf"), 0, reason)]
    return [Check(name, 0, 0, found)] if isinstance(found, str) else found


def _told(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> str:
    takes, gives = (
        ", ".join(f"{name} {tensor}" for name, tensor in side.items()) for side in (inputs, outputs)
    )
    return f"{takes} -> {gives}"
