"""An export folder that answers in this process, by default through ONNX Runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.errors import CLOSED, Failure
from mite_tf.serving.client.questions import (
    Embedded,
    Metadata,
    ModelMetadata,
    ModelSignature,
    Predict,
    Question,
    Tensor,
    VersionStatus,
)

# As the messages of a server name the types.
_TYPE_NAMES = {"float32": "float"}


class Local:
    """Computes embeddings from an export folder, in threads beside the event loop.

    Args:
        folder: Export folder.
        kind: `onnx`, `onnx-int8` or `savedmodel`.
        threads: Threads of one computation; as many as there are cores by default.
        models: Name of a model to `image` or `text`.

    Raises:
        MiteError: If the folder is no export, or a package is missing.

    Example:
        >>> Local("exports/none", kind="onnx", threads=0, models={"text": "text"})
        Traceback (most recent call last):
        mite_tf.errors.MiteError: exports/none: ...
    """

    def __init__(
        self, folder: str | Path, *, kind: str, threads: int, models: dict[str, str]
    ) -> None:
        from mite_tf.export.manifest import read_manifest
        from mite_tf.serving.backends.open import check_kind

        check_kind(kind)
        self._version = read_manifest(folder).version
        self._folder, self._kind, self._threads, self._models = folder, kind, threads, models
        self._backends: dict[str, Any] = {}
        self._closed = False
        self._lock = Lock()

    async def ask(self, question: Question, *, timeout: float | None, wait: bool) -> Any:
        return await asyncio.to_thread(self._answer, question)

    def explain(self, details: str) -> str | None:
        return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for backend in self._backends.values():
                backend.close()
            self._backends.clear()

    def _answer(self, question: Question) -> Any:
        if not isinstance(question, Metadata):
            return [VersionStatus(self._version, "AVAILABLE")]
        backend = self._backend(question)
        if not isinstance(question, Predict):
            return _metadata(question.model, backend)
        if question.signature not in backend.signatures:
            raise Failure(
                "FAILED_PRECONDITION",
                f"Signature {question.signature!r} is not in this export; there are "
                f"{', '.join(backend.signatures)}.",
            )
        try:
            rows = backend.prepare(question.signature, _array(question.rows))
            return Embedded(backend.run(rows), backend.version)
        except MiteError as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error

    def _backend(self, question: Metadata) -> Any:
        from mite_tf.serving.backends.open import open_backend

        with self._lock:
            if self._closed:
                raise MiteError(CLOSED)
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


def _array(rows: Any) -> np.ndarray:
    if not isinstance(rows, list):
        return rows
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def _metadata(model: str, backend: Any) -> ModelMetadata:
    output = {"embedding": Tensor("float", (-1, backend.embedding_size))}
    signatures = {}
    for name, each in backend.signatures.items():
        shape = tuple(-1 if size is None else size for size in each.shape)
        inputs = {each.input: Tensor(_TYPE_NAMES.get(each.dtype, each.dtype), shape)}
        signatures[name] = ModelSignature(inputs, output)
    return ModelMetadata(model, backend.version, signatures)
