"""The blocking client: the asynchronous one, run in an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, TypeVar

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.async_client import (
    AsyncEmbeddingClient,
    Progress,
    Settings,
    with_arguments_of,
)
from mite_tf.serving.client.call import ROWS_PER_REQUEST, MixedVersions
from mite_tf.serving.client.protocol import CLOSED, ModelMetadata, VersionStatus
from mite_tf.serving.client.rows import as_list

T = TypeVar("T")


class EmbeddingClient:
    """Embeds images and texts by a server that speaks TensorFlow Serving's gRPC protocol.

    It needs NumPy, grpcio and protobuf, and Pillow for arrays and PIL images; no TensorFlow.
    Several threads may use it at a time. Close it, or use it in a `with` block.

    Args:
        target: Address, such as `localhost:8500`, or any name that gRPC resolves.
        tls: Certificates; without, the connection is not encrypted.
        token: Sent as `authorization: Bearer …`; or a function that gives it, called before each
            attempt.
        token_in_clear: Sends the token without TLS too, to another machine.
        version: Version of both models, instead of the one that the server prefers.
        version_label: Label of the version, from the server's configuration, instead.
        mixed_versions: What happens when the image model and the text model answer as different
            versions, whose embeddings must not be compared: `refuse`, `warn` or `allow`.
        timeout: Seconds for a whole call, with all its requests and attempts; None for no limit.
        attempt_timeout: Seconds for one attempt of one request, instead of all that is left.
        retries: How often a request is sent again that the server was too busy for, or that took
            longer than `attempt_timeout`.
        wait_for_ready: Waits for a server that is not there until `timeout`; otherwise it counts
            as one that is too busy.
        rows_per_request: Most rows of a request; `max_batch_size` of the server or less.
        max_message_bytes: Most bytes of a request.
        in_flight: Most requests of one call at a time.
        keepalive: Seconds of silence after which a server is asked whether it is still there.
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
        mite_tf.serving.client.protocol.EmbeddingError: Model 'text', 1 rows: UNAVAILABLE: ...
    """

    @with_arguments_of(Settings.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._start(AsyncEmbeddingClient(*args, **kwargs))

    @classmethod
    def local(
        cls,
        folder: str | Path,
        *,
        kind: str = "onnx",
        threads: int = 0,
        version: int | None = None,
        mixed_versions: MixedVersions = "refuse",
        timeout: float | None = None,
        rows_per_request: int = ROWS_PER_REQUEST,
    ) -> Self:
        """Returns a client that computes in this process, from an export folder.

        Args:
            folder: Export folder.
            kind: `onnx`, `onnx-int8`, or `savedmodel`, which loads TensorFlow.
            threads: Threads of one computation; as many as there are cores by default.
            version: Version that the folder must hold.
            mixed_versions: As for a server.
            timeout: Seconds for a whole call, looked at between computations.
            rows_per_request: Most rows of one computation.

        Raises:
            MiteError: If the folder is no export, or a package is missing.

        Example:
            >>> EmbeddingClient.local("exports/none")
            Traceback (most recent call last):
            mite_tf.errors.MiteError: exports/none: ...
        """
        client = cls.__new__(cls)
        client._start(
            AsyncEmbeddingClient.local(
                folder,
                kind=kind,
                threads=threads,
                version=version,
                mixed_versions=mixed_versions,
                timeout=timeout,
                rows_per_request=rows_per_request,
            )
        )
        return client

    def _start(self, client: AsyncEmbeddingClient) -> None:
        self._client = client
        self._closed = False
        self._start_process()

    def _start_process(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._loop: _LoopThread | None = None  # started by the first call

    def _locked(self) -> threading.Lock:
        if self._process != os.getpid():  # a fork lacks the thread, and who may hold the lock
            self._start_process()
        return self._lock

    @property
    def versions(self) -> dict[str, int]:
        """Version that last embedded, by name of the model; store it with the embeddings."""
        return self._client.versions

    def embed_text(
        self, texts: Iterable[str], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds texts; the class has an example.

        Args:
            texts: The texts.
            timeout: Seconds for all of them, instead of those of the client.
            progress: Shows a bar; or is called with the number of texts done and of all.

        Returns:
            float32 `[N, D]`, unit norm, in the order of the texts, all of one version.

        Raises:
            EmbeddingError: If a request fails for good.
            MixedVersionsError: If two versions would be mixed.
            MiteError: If a text cannot be sent; named by its index.
        """
        return self._embed(self._client.embed_text, "texts", texts, timeout, progress)

    def embed_images(
        self, images: Iterable[Any], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds images; everything but what an image is, as for texts.

        An image is a path, `bytes` of a JPEG, PNG, GIF, BMP or WebP file, an array `[H, W, 3]` of
        uint8 or of floats in 0-255, RGB, or a PIL image; kinds may be mixed. Files and PIL
        images are turned upright as their EXIF says, if training did so.

        Example:
            >>> with EmbeddingClient("localhost:1") as client:
            ...     client.embed_images(["none.jpg"])
            Traceback (most recent call last):
            mite_tf.errors.MiteError: images[0] (none.jpg) cannot be read: No such file ...
        """
        return self._embed(self._client.embed_images, "images", images, timeout, progress)

    def embed_features(
        self, features: Any, *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds features `[N, ...]`, where the image model was trained on precomputed ones."""
        return self._embed(self._client.embed_features, "features", features, timeout, progress)

    def metadata(self, *, timeout: float | None = None) -> dict[str, ModelMetadata]:
        """Returns signatures and version of both models, by their names; needs a server."""
        return self._run(self._client.metadata(timeout=timeout))

    def status(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus]]:
        """Returns the state of every version of both models, by their names; needs a server."""
        return self._run(self._client.status(timeout=timeout))

    def close(self) -> None:
        """Closes the connection, or frees the models; calls of other threads end."""
        with self._locked():
            self._closed = True
            loop, self._loop = self._loop, None
        if loop:
            loop.end()
        self._client._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _embed(
        self,
        embed: Callable[..., Coroutine[Any, Any, np.ndarray]],
        name: str,
        inputs: Any,
        timeout: float | None,
        progress: Progress,
    ) -> np.ndarray:
        if not isinstance(inputs, np.ndarray):
            inputs = as_list(inputs, name)  # a generator runs in the thread of the caller
        if not callable(progress):
            return self._run(embed(inputs, timeout=timeout, progress=progress))
        # A function is called in the thread of the caller, where it may do what it likes.
        steps: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        work = embed(inputs, timeout=timeout, progress=lambda *step: steps.put(step))
        future = self._submit(work)
        future.add_done_callback(lambda _: steps.put(None))
        try:
            while step := steps.get():
                progress(*step)
        except BaseException:
            future.cancel()
            raise
        return self._wait(future)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._wait(self._submit(coroutine))

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._locked():  # what was submitted before `close` is cancelled by it
            if self._closed:
                coroutine.close()
                raise MiteError(CLOSED)
            if self._loop is None:
                self._loop = _LoopThread()
                weakref.finalize(self, self._loop.end)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop.loop)

    def _wait(self, future: Future[T]) -> T:
        try:
            return future.result()
        except CancelledError:
            raise MiteError(CLOSED) from None
        except BaseException:  # Ctrl-C, if the call has not ended
            future.cancel()
            raise


class _LoopThread:
    """An event loop that runs in a daemon thread until its end."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="embedding", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.get_loop().run_forever()

    def end(self) -> None:
        """Cancels what runs, and waits for the thread."""
        if self.process == os.getpid() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            if threading.current_thread() is not self._thread:
                self._thread.join()
