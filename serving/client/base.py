"""How both clients are made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mite_tf.errors import MiteError
from mite_tf.serving.client.core import Core, connection, local_options, open_local
from mite_tf.serving.client.local import Local
from mite_tf.serving.client.options import (
    MAX_MESSAGE_BYTES,
    ROWS_PER_REQUEST,
    MixedVersions,
    Options,
)
from mite_tf.serving.client.questions import Version
from mite_tf.serving.client.tls import ClientTLS

if TYPE_CHECKING:
    from mite_tf.serving.client.connection import Connection, Token


class Base:
    """Arguments, versions and state; described at `EmbeddingClient`."""

    _transport: Any

    def __init__(
        self,
        target: str,
        *,
        tls: ClientTLS | None = None,
        token: Token | None = None,
        token_in_clear: bool = False,
        version: int | None = None,
        version_label: str | None = None,
        mixed_versions: MixedVersions = "refuse",
        timeout: float | None = 60.0,
        attempt_timeout: float | None = None,
        retries: int = 5,
        wait_for_ready: bool = True,
        rows_per_request: int = ROWS_PER_REQUEST,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        in_flight: int = 4,
        keepalive: float = 20.0,
        image_model: str = "image",
        text_model: str = "text",
        channel_options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        options = Options(
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            retries=retries,
            wait_for_ready=wait_for_ready,
            rows_per_request=rows_per_request,
            max_message_bytes=max_message_bytes,
            in_flight=in_flight,
            version=Version(number=version, label=version_label),
            mixed_versions=mixed_versions,
            image_model=image_model,
            text_model=text_model,
        )
        reached = connection(
            target,
            tls=tls,
            token=token,
            token_in_clear=token_in_clear,
            keepalive=keepalive,
            channel_options=channel_options,
        )
        self._start(options, self._reach(reached))

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
        """
        options = local_options(
            version=version,
            timeout=timeout,
            rows_per_request=rows_per_request,
            mixed_versions=mixed_versions,
        )
        client = cls.__new__(cls)
        local = open_local(folder, options, kind=kind, threads=threads)
        client._start(options, client._compute(local))
        return client

    def _start(self, options: Options, transport: Any) -> None:
        self._core = Core(options, transport.explain)
        self._transport = transport
        self._closed = False

    def _reach(self, connection: Connection) -> Any:
        raise NotImplementedError

    def _compute(self, local: Local) -> Any:
        raise NotImplementedError

    def _refuse_closed(self) -> None:
        if self._closed:
            raise MiteError("This client is closed. Make a new one.")

    @property
    def versions(self) -> dict[str, int]:
        """Version that last embedded, by name of the model; store it with the embeddings."""
        return self._core.versions.last
