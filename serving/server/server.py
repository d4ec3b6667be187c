"""A whole server, from its first model to its last answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mite_tf.serving.server.grpc_server import GrpcServer
from mite_tf.serving.server.http_server import HttpServer
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions

_log = logging.getLogger("mite_tf.serving")


class Server:
    """Loads an export and serves it; lives on one event loop.

    Args:
        options: Settings.
        loaded: Is called when everything is loaded, and whenever a new version has replaced one.
    """

    def __init__(self, options: ServerOptions, *, loaded: Callable[[], None] | None = None) -> None:
        self._options = options
        self._loaded = loaded or (lambda: None)
        self._metrics = Metrics()
        self._models = Models(options, metrics=self._metrics, renewed=self._loaded)
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None

    async def start(self) -> tuple[int, int | None]:
        """Loads and warms the models, then listens.

        Returns:
            Ports of gRPC and of HTTP.

        Raises:
            MiteError: If the export cannot be loaded or a port is taken.
        """
        try:
            await self._models.start()
            self._grpc = GrpcServer(self._options, self._models, self._metrics)
            if self._options.http_port is not None:
                self._http = HttpServer(self._options, self._models, self._metrics)
                await self._http.start()
            await self._grpc.start()
            self._loaded()
        except BaseException:
            await self.stop()
            raise
        http_port = self._http.port if self._http else None
        _log.info("serving", extra={"port": self._grpc.port, "http_port": http_port})
        return self._grpc.port, http_port

    async def stop(self) -> None:
        """Takes no more requests, answers those that it has, and frees the models."""
        _log.info("stopping")
        sides = [side.stop() for side in (self._grpc, self._http) if side is not None]
        await asyncio.gather(*sides)
        await self._models.stop()
        _log.info("stopped")
