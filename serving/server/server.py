"""A whole server, from its first model to its last answer: in the foreground, or in a thread."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Unpack

from mite_tf.errors import MiteError
from mite_tf.serving.server.connections import raise_file_limit
from mite_tf.serving.server.grpc_server import GrpcServer
from mite_tf.serving.server.http_server import HttpServer
from mite_tf.serving.server.intake import Intake, give_back_at_once
from mite_tf.serving.server.logs import logged_to_stderr
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions, ServerSettings
from mite_tf.serving.server.search_api import SearchApi

# New objects before a round of the garbage collector over them; Python's own number is a few
# requests' worth.
_NEW_OBJECTS = 10_000
# Seconds until a thread that works lets the event loop go on, which asks for it at each read and
# write; Python's own number is more than twice as many. A quarter of this costs a quiet server
# seven in a hundred of its requests.
_SWITCH = 2e-3
# Of the seconds of grace, for answers; the rest is for all that ends after them.
_ANSWERING = 0.8
_LEVELS = ("debug", "info", "warning", "error")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger("mite_tf.serving")


# no example: it answers until it is stopped; see `start_server`.
def serve(
    export: str | Path, *, log_level: str = "info", **options: Unpack[ServerSettings]
) -> None:
    """Serves both encoders of an export until SIGTERM or SIGINT.

    Answers `PredictionService` and `ModelService` of TensorFlow Serving over gRPC, its REST
    forms and metrics over HTTP, and there OpenAI's `/v1/embeddings`, and `/search` of an index. At
    the end every request that was accepted is answered.

    Args:
        export: Export folder.
        log_level: `debug` for one line a request, `info`, `warning` or `error`.
        options: Fields of `ServerOptions`.

    Raises:
        MiteError: If an option is out of range, the export cannot be loaded or a port is taken.
    """
    if log_level not in _LEVELS:
        raise MiteError(f"log_level is {log_level!r}; there are {', '.join(_LEVELS)}.")
    settings = ServerOptions(export=Path(export), **options)
    raise_file_limit()
    sys.setswitchinterval(_SWITCH)
    give_back_at_once()
    ended = threading.Event()
    with logged_to_stderr(log_level), _told_by_signals() as told:
        asyncio.run(_serve(settings, told, ended))
        for thread in threading.enumerate():
            if thread.name.startswith("mite-") and not thread.daemon:
                thread.join()
        ended.set()


async def _serve(options: ServerOptions, told: socket.socket, ended: threading.Event) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with told:
            if not told.recv(1):  # no signal came
                return
        loop.call_soon_threadsafe(stopped.set)
        # A call of a model cannot be broken off.
        if not ended.wait(options.grace_seconds):
            _log.warning("ended with work under way")
            os._exit(0)

    threading.Thread(target=wait, name="mite-stop", daemon=True).start()
    async with run_server(options, loaded=_spare_what_is_loaded):
        await stopped.wait()


@contextmanager
def _told_by_signals() -> Iterator[socket.socket]:
    """Gives a socket that a signal writes to, whatever the thread of the event loop does."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    signal.set_wakeup_fd(writing.fileno())
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        writing.close()


def _spare_what_is_loaded() -> None:
    """Frees what is not used any more, and leaves the rest out of later rounds of the collector.

    A round over all objects of TensorFlow takes a quarter of a second, in which no request is
    answered, and finds nothing. This is for a process that does nothing but serve, whenever what
    is loaded has changed.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    gc.unfreeze()
    gc.collect()
    gc.freeze()


# no example: it takes an export folder, which needs an encoder.
def start_server(export: str | Path, **options: Unpack[ServerSettings]) -> RunningServer:
    """Serves an export from a thread, for tests and notebooks.

    Args:
        export: Export folder.
        options: Fields of `ServerOptions`; the ports are free ones by default.

    Returns:
        The server, when it answers; `stop()` or the end of a `with` block ends it.
    """
    settings: ServerSettings = {"port": 0, "http_port": 0}
    settings.update(options)
    return RunningServer(ServerOptions(export=Path(export), **settings))


# no example: made by `start_server`.
class RunningServer:
    """A server in a thread of this process, with `port` and `http_port`; a context manager."""

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
            async with run_server(options) as ports:
                self._ready.set_result(ports)
                await self._stopped.wait()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    def stop(self) -> None:
        """Answers what was accepted, then ends; does nothing the second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


# no example: run by `serve` and `start_server`, which need an export.
@asynccontextmanager
async def run_server(
    options: ServerOptions, *, loaded: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[int, int | None]]:
    """Loads an export and serves it inside a block, which gets the ports of gRPC and HTTP.

    `loaded` is called when everything is loaded, and whenever a new version has replaced one. At
    the end of the block every request that was accepted is answered.
    """
    metrics, intake = Metrics(), Intake(options.max_message_bytes)
    models = Models(options, metrics=metrics, renewed=loaded)
    sides: list[GrpcServer | HttpServer] = []
    search: SearchApi | None = None
    try:
        if options.index is not None:  # first, since it is refused sooner than models are loaded
            search = await asyncio.to_thread(SearchApi, options.index, models)
        await models.start()
        if search is not None:
            search.check()
        grpc_side = GrpcServer(options, models, metrics, intake)
        sides.append(grpc_side)
        http_port = None
        if options.http_port is not None:
            http_side = HttpServer(options, models, metrics, intake, search)
            sides.append(http_side)
            await http_side.start()
            http_port = http_side.port
        await grpc_side.start()
        loaded()
        _log.info("serving", extra={"port": grpc_side.port, "http_port": http_port})
        yield grpc_side.port, http_port
    finally:
        _log.info("stopping")
        intake.close()
        left = _ANSWERING * options.grace_seconds
        await asyncio.gather(*(side.stop(left) for side in sides))
        if search is not None:
            search.close()
        await models.stop()
        _log.info("stopped")
