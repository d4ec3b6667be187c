"""An export folder as the one who answers, in this process, through ONNX Runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.effects import Ask
from mite_tf.serving.client.errors import Failure
from mite_tf.serving.client.questions import Metadata, Predict, Status
from mite_tf.serving.client.replies import (
    Embedded,
    ModelMetadata,
    Signature,
    Tensor,
    VersionStatus,
)
from mite_tf.serving.client.run_blocking import Stop

# As the messages of a server name the types.
_TYPE_NAMES = {"float32": "float"}


class Local:
    """Computes embeddings here.

    Args:
        folder: Export folder.
        kind: `onnx`, `onnx-int8` or `savedmodel`.
        threads: Threads of one computation; as many as there are cores by default.
        models: Name of a model to `image` or `text`.

    Raises:
        MiteError: If the folder is no export, or a package is missing.
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
        self._lock = Lock()

    def explain(self, details: str) -> str | None:
        """Nothing stands between this and the caller."""
        return None

    def ask(self, ask: Ask, stop: Stop | None = None) -> Any:
        question = ask.question
        if isinstance(question, Status):
            return [VersionStatus(self._version, "AVAILABLE")]
        backend = self._backend(question)
        if isinstance(question, Metadata):
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

    def _backend(self, question: Predict | Metadata) -> Any:
        from mite_tf.serving.backends.open import open_backend

        if question.version.label is not None:
            raise Failure("INVALID_ARGUMENT", "Versions of an export folder have no labels.")
        with self._lock:
            if question.model not in self._backends:
                self._backends[question.model] = open_backend(
                    self._folder, self._models[question.model], self._kind, threads=self._threads
                )
            backend = self._backends[question.model]
        if question.version.number not in (None, backend.version):
            raise Failure(
                "NOT_FOUND", f"{self._folder} holds version {backend.version} of the encoders."
            )
        return backend

    def close(self) -> None:
        with self._lock:
            for backend in self._backends.values():
                backend.close()
            self._backends.clear()


class AsyncLocal:
    """The same beside an event loop, in threads.

    Args:
        local: Who computes.
    """

    def __init__(self, local: Local) -> None:
        self._local = local
        self.explain = local.explain

    async def ask(self, ask: Ask) -> Any:
        return await asyncio.to_thread(self._local.ask, ask)

    async def close(self) -> None:
        self._local.close()


def _array(rows: Any) -> np.ndarray:
    if not isinstance(rows, list):
        return rows
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def _metadata(model: str, backend: Any) -> ModelMetadata:
    output = {"embedding": Tensor("float", (-1, backend.embedding_size))}
    return ModelMetadata(
        model,
        backend.version,
        {
            name: Signature(
                {
                    each.input: Tensor(
                        _TYPE_NAMES.get(each.dtype, each.dtype),
                        tuple(-1 if size is None else size for size in each.shape),
                    )
                },
                output,
            )
            for name, each in backend.signatures.items()
        },
    )
