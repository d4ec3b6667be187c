"""An export folder that answers in this process, by default through ONNX Runtime."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mite_tf.errors import MiteError, UnknownWordsWarning
from mite_tf.serving.client import protocol
from mite_tf.serving.client.protocol import Failure, MetadataQuestion, StatusQuestion
from mite_tf.serving.wire.tensors import type_name, type_number


class Local:
    """Computes embeddings from an export folder, in threads beside the event loop.

    Arguments are those of `EmbeddingClient.local`; `models` maps the name of a model to `image` or
    `text`.

    Example:
        >>> Local("exports/none", kind="onnx", threads=0, models={"text": "text"})
        Traceback (most recent call last):
        mite_tf.errors.MiteError: exports/none: ...
    """

    def __init__(
        self, folder: str | Path, *, kind: str, threads: int, models: dict[str, str]
    ) -> None:
        self.place: str | None = None  # nobody waits for a server
        from mite_tf.export.manifest import read_manifest
        from mite_tf.serving.backends.open import check_kind

        check_kind(kind)
        self._version = read_manifest(folder).version
        self._folder, self._kind, self._threads, self._models = folder, kind, threads, models
        self._backends: dict[str, Any] = {}
        self._closed = False
        self._lock = Lock()

    async def ask(self, question: StatusQuestion, *, timeout: float, wait: bool) -> Any:
        return await asyncio.to_thread(self._answer, question)

    def explain(self, details: str) -> str | None:
        return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for backend in self._backends.values():
                backend.close()
            self._backends.clear()

    def _answer(self, question: StatusQuestion) -> Any:
        if not isinstance(question, MetadataQuestion):
            return [protocol.VersionStatus(self._version, "AVAILABLE")]
        backend = self._backend(question)
        if not isinstance(question, protocol.PredictQuestion):
            return _metadata(question.model, backend)
        if question.signature not in backend.signatures:
            raise Failure(
                "FAILED_PRECONDITION",
                f"Signature {question.signature!r} is not in this export; there are "
                f"{', '.join(backend.signatures)}.",
            )
        rows = question.rows
        if isinstance(rows, list):
            rows = np.empty(len(rows), object)
            rows[:] = question.rows
        try:
            rows = backend.prepare(question.signature, rows)
            if rows.key == "text":
                _warn_of([question.rows[number].decode() for number in backend.unknown(rows)])
            return protocol.Embedded(backend.run(rows), backend.version)
        except MiteError as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error

    def _backend(self, question: MetadataQuestion) -> Any:
        from mite_tf.serving.backends.open import open_backend

        with self._lock:
            if self._closed:
                raise MiteError(protocol.CLOSED)
            if question.model not in self._backends:
                self._backends[question.model] = open_backend(
                    self._folder, self._models[question.model], self._kind, threads=self._threads
                )
            backend = self._backends[question.model]
        if question.version not in (None, backend.version):
            raise Failure(
                "NOT_FOUND", f"{self._folder} holds version {backend.version} of the encoders."
            )
        return backend


def _warn_of(unknown: list[str]) -> None:
    """Warns of texts whose embedding says nothing."""
    if unknown:
        more = f" Nor do {len(unknown) - 1} others." if len(unknown) > 1 else ""
        warnings.warn(
            f"The text {unknown[0]!r} holds no word that the model knows, so its embedding says "
            f"nothing about it.{more}",
            UnknownWordsWarning,
            stacklevel=2,
        )


def _metadata(model: str, backend: Any) -> protocol.ModelMetadata:
    output = {"embedding": protocol.Tensor("float", (-1, backend.embedding_size))}
    signatures = {}
    for name, each in backend.signatures.items():
        shape = tuple(-1 if size is None else size for size in each.shape)
        inputs = {each.input: protocol.Tensor(type_name(type_number(each.dtype)), shape)}
        signatures[name] = protocol.ModelSignature(inputs, output)
    return protocol.ModelMetadata(model, backend.version, signatures)
