"""The client."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from mite_tf.serving.client.base import Base
from mite_tf.serving.client.check import TOLERANCE
from mite_tf.serving.client.core import Progress
from mite_tf.serving.client.local import Local
from mite_tf.serving.client.replies import ModelMetadata, VersionStatus
from mite_tf.serving.client.run_blocking import Transport, run

if TYPE_CHECKING:
    from mite_tf.export.manifest import Manifest
    from mite_tf.serving.client.connection import Connection

T = TypeVar("T")


class EmbeddingClient(Base):
    """Embeds images and sentences by a server that speaks TensorFlow Serving's gRPC protocol.

    It needs NumPy, grpcio and protobuf, and Pillow for arrays and PIL images; no TensorFlow. It may
    be used by several threads at a time. Close it, or use it in a `with` block.

    Args:
        target: Address, such as `localhost:8500`, or any name that gRPC resolves.
        tls: Certificates; without, the connection is not encrypted.
        token: Sent as `authorization: Bearer …`; or a function that gives it, called before each
            attempt.
        token_in_clear: Sends the token without TLS too, to another machine.
        version: Version of both models; the one that the server prefers by default.
        version_label: Label of the version, from the server's configuration, instead.
        mixed_versions: What happens when the image model and the text model answer as different
            versions, whose embeddings must not be compared: `refuse`, `warn` or `allow`.
        timeout: Seconds for a whole call, with all its requests and attempts; None for no limit.
        attempt_timeout: Seconds for one attempt of one request; what is left of `timeout` by
            default.
        retries: How often a request is sent again that the server was too busy for, or that took
            longer than `attempt_timeout`.
        wait_for_ready: Waits for a server that is not there until `timeout`; otherwise it counts
            as one that is too busy.
        rows_per_request: Most rows of a request; `max_batch_size` of the server or less.
        max_message_bytes: Most bytes of a request.
        in_flight: Most requests at a time.
        keepalive: Seconds without a word after which a server is asked whether it is still there.
        image_model: Name of the image model.
        text_model: Name of the text model.
        channel_options: Further settings of gRPC's channel, as pairs.

    Raises:
        MiteError: If an argument makes no sense, or grpcio is not installed.

    Example:
        >>> nobody = {"timeout": 0.2, "wait_for_ready": False, "retries": 0}
        >>> with EmbeddingClient("localhost:1", **nobody) as client:
        ...     client.embed_text(["a dog"])
        Traceback (most recent call last):
        mite_tf.serving.client.errors.EmbeddingError: Model 'text', 1 rows: UNAVAILABLE: ...
    """

    _transport: Transport

    def _reach(self, connection: Connection) -> Transport:
        from mite_tf.serving.client.remote import Remote

        return Remote(connection)

    def _compute(self, local: Local) -> Transport:
        return local

    def embed_text(
        self,
        texts: Iterable[str],
        *,
        timeout: float | None = None,
        progress: Progress = False,
    ) -> np.ndarray:
        """Embeds sentences.

        Args:
            texts: The sentences.
            timeout: Seconds for all of them; those of the client by default.
            progress: Shows a bar; or is called with the number of sentences done and of all.

        Returns:
            float32 `[N, D]`, unit norm, in the order of the sentences, all of one version.

        Raises:
            EmbeddingError: If a request fails for good.
            MixedVersionsError: If two versions would be mixed.
            MiteError: If a sentence cannot be sent; named by its index.
        """
        return self._run(self._core.embed_text(texts, timeout, progress))

    def embed_images(
        self,
        images: Iterable[Any],
        *,
        timeout: float | None = None,
        progress: Progress = False,
    ) -> np.ndarray:
        """Embeds images; a rotation in EXIF is not applied, as in training.

        Args:
            images: Paths, `bytes` of JPEG, PNG, GIF, BMP or WebP files, arrays `[H, W, 3]` of uint8
                or of floats in 0-255, RGB, or PIL images, mixed as they come.
            timeout: Seconds for all of them; those of the client by default.
            progress: Shows a bar; or is called with the number of images done and of all.

        Returns:
            float32 `[N, D]`, unit norm, in the order of the images, all of one version.

        Raises:
            EmbeddingError: If a request fails for good.
            MixedVersionsError: If two versions would be mixed.
            MiteError: If an image cannot be read or sent; named by index and path.
        """
        return self._run(self._core.embed_images(images, timeout, progress))

    def embed_features(
        self,
        features: Any,
        *,
        timeout: float | None = None,
        progress: Progress = False,
    ) -> np.ndarray:
        """Embeds features, where the image model was trained on precomputed ones.

        Args:
            features: Array `[N, ...]`.
            timeout: Seconds for all of them; those of the client by default.
            progress: Shows a bar; or is called with the number of rows done and of all.

        Returns:
            float32 `[N, D]`, unit norm, all of one version.

        Raises:
            EmbeddingError: If a request fails for good.
        """
        return self._run(self._core.embed_features(features, timeout, progress))

    def check(
        self,
        export: Manifest | str | Path,
        *,
        tolerance: float = TOLERANCE,
        timeout: float | None = None,
    ) -> None:
        """Checks that the server serves an export: names, types, shapes, version, and answers.

        Answers are compared over the cases in the export folder; a manifest alone has none.

        Args:
            export: Export folder, its `manifest.json`, or a manifest.
            tolerance: Greatest mean of 1 - cosine of the answers; 0.1 for 8-bit weights.
            timeout: Seconds for each question; those of the client by default.

        Raises:
            MismatchError: If anything differs; `differences` lists it.
            EmbeddingError: If the server cannot be asked.
        """
        self._run(self._core.check(export, tolerance, timeout))

    def metadata(self, *, timeout: float | None = None) -> dict[str, ModelMetadata]:
        """Returns signatures and version of both models, by their names."""
        return self._run(self._core.metadata(timeout))

    def status(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus]]:
        """Returns the state of every version of both models, by their names."""
        return self._run(self._core.status(timeout))

    def close(self) -> None:
        """Closes the connection, or frees the models."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, flow: Generator[Any, Any, T]) -> T:
        self._refuse_closed()
        return run(flow, self._transport)
