"""The client for asyncio."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from mite_tf.serving.client.base import Base
from mite_tf.serving.client.check import TOLERANCE
from mite_tf.serving.client.core import Progress
from mite_tf.serving.client.local import AsyncLocal, Local
from mite_tf.serving.client.replies import ModelMetadata, VersionStatus
from mite_tf.serving.client.run_asyncio import AsyncTransport, run

if TYPE_CHECKING:
    from mite_tf.export.manifest import Manifest
    from mite_tf.serving.client.connection import Connection

T = TypeVar("T")


class AsyncEmbeddingClient(Base):
    """`EmbeddingClient` for asyncio: the same arguments, rules and errors.

    Use it within one event loop, in an `async with` block. Many calls may wait at a time; files are
    read and arrays are encoded in threads. `token` may also be a coroutine function.

    Example:
        >>> import asyncio
        >>> async def embed():
        ...     async with AsyncEmbeddingClient("localhost:8500") as client:
        ...         return await client.embed_text([""])
        >>> asyncio.iscoroutinefunction(embed)
        True
    """

    _transport: AsyncTransport

    def _reach(self, connection: Connection) -> AsyncTransport:
        from mite_tf.serving.client.remote import AsyncRemote

        return AsyncRemote(connection)

    def _compute(self, local: Local) -> AsyncTransport:
        return AsyncLocal(local)

    async def embed_text(
        self, texts: Iterable[str], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds sentences, as `EmbeddingClient.embed_text` does."""
        return await self._run(self._core.embed_text(texts, timeout, progress))

    async def embed_images(
        self, images: Iterable[Any], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds images, as `EmbeddingClient.embed_images` does."""
        return await self._run(self._core.embed_images(images, timeout, progress))

    async def embed_features(
        self, features: Any, *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds precomputed features, as `EmbeddingClient.embed_features` does."""
        return await self._run(self._core.embed_features(features, timeout, progress))

    async def check(
        self,
        export: Manifest | str | Path,
        *,
        tolerance: float = TOLERANCE,
        timeout: float | None = None,
    ) -> None:
        """Checks that the server serves an export, as `EmbeddingClient.check` does."""
        await self._run(self._core.check(export, tolerance, timeout))

    async def metadata(self, *, timeout: float | None = None) -> dict[str, ModelMetadata]:
        """Returns signatures and version of both models, by their names."""
        return await self._run(self._core.metadata(timeout))

    async def status(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus]]:
        """Returns the state of every version of both models, by their names."""
        return await self._run(self._core.status(timeout))

    async def close(self) -> None:
        """Closes the connection, or frees the models."""
        self._closed = True
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _run(self, flow: Generator[Any, Any, T]) -> T:
        self._refuse_closed()
        return await run(flow, self._transport)
