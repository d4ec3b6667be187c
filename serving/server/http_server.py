"""The HTTP side of a server: REST and metrics, on the event loop of the rest."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import uvicorn

from mite_tf.errors import MiteError
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.rest import application


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class HttpServer:
    """Listens for HTTP, or HTTPS.

    Args:
        options: Settings of the server.
        models: The models.
        metrics: Counts requests, and is shown.

    Raises:
        MiteError: If the port is taken, or the certificates cannot be used.
    """

    def __init__(self, options: ServerOptions, models: Models, metrics: Metrics) -> None:
        tls = options.tls
        try:
            config = uvicorn.Config(
                application(options, models, metrics),
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=max(1, int(options.grace_seconds)),
                ssl_certfile=tls and str(tls.cert),
                ssl_keyfile=tls and str(tls.key),
                ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
            )
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise MiteError(f"The certificates cannot be used: {error}") from error
        self._server = _Uvicorn(config)
        self._socket = _listen(options.host, options.http_port or 0)
        self.port: int = self._socket.getsockname()[1]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answers from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Takes no more requests and answers those that it has."""
        self._server.should_exit = True
        if self._task is None:
            self._socket.close()
        else:
            await self._task


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MiteError(
            f"HTTP cannot listen on {host}:{port}: {error.strerror}. Name another port."
        ) from error
    return listener
