"""Running a server: in the foreground, or in a thread beside other code."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

from mite_tf.serving.server.collector import spare_what_is_loaded
from mite_tf.serving.server.logs import log_to_stderr
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.server import Server


def serve(export: str | Path, *, log_level: str = "info", **options: Any) -> None:
    """Serves both encoders of an export until SIGTERM or SIGINT.

    Answers `PredictionService` and `ModelService` of TensorFlow Serving over gRPC, its REST
    forms and metrics over HTTP. At the end every request that was accepted is answered.

    Args:
        export: Export folder.
        log_level: `debug` for one line a request, `info`, `warning` or `error`.
        options: Other settings, see `ServerOptions`.

    Raises:
        MiteError: If the export cannot be loaded or a port is taken.
    """
    settings = ServerOptions(export=Path(export), **options)
    log_to_stderr(log_level)
    asyncio.run(_serve(settings))


async def _serve(options: ServerOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(options, loaded=spare_what_is_loaded)
    starting = asyncio.create_task(server.start())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    await starting
    await stopping
    await server.stop()


class RunningServer:
    """A server in a thread of this process; also a context manager.

    Attributes:
        port: Port of gRPC.
        http_port: Port of HTTP; None if there is none.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._ready: Future[tuple[int, int | None]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(options)), name="mite-serve", daemon=True
        )
        self._thread.start()
        self.port, self.http_port = self._ready.result()

    async def _run(self, options: ServerOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        try:
            server = Server(options)
            ports = await server.start()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(ports)
        await self._stopped.wait()
        await server.stop()

    def stop(self) -> None:
        """Answers what was accepted, then ends; does nothing the second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start_server(export: str | Path, **options: Any) -> RunningServer:
    """Serves an export from a thread, for tests and notebooks.

    Args:
        export: Export folder.
        options: Settings, see `ServerOptions`; the ports are free ones by default.

    Returns:
        The server, when it answers; `stop()` or the end of a `with` block ends it.

    Raises:
        MiteError: If the export cannot be loaded or a port is taken.
    """
    return RunningServer(
        ServerOptions(export=Path(export), **{"port": 0, "http_port": 0, **options})
    )
