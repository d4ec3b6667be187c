"""Connections of HTTP: how many, and how long each may take."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mite_tf.serving.server.connections import Listener
from mite_tf.serving.server.intake import RECEIVE_SECONDS

# Seconds until the head of a request is whole, the handshake of TLS included, and after an answer.
HEAD_SECONDS = 10.0
_MOST_HEAD_BYTES = 1 << 16
# Seconds after an answer until a request is looked at that was there before it.
_PIPELINED = 0.05


class _Connection(H11Protocol):
    """Ends when a head, or the taking of an answer, takes too long.

    uvicorn itself bounds only the silence after an answer.
    """

    waiting: dict[_Connection, float]  # for a head since when; the oldest first
    silent: dict[int, Any]  # until TLS, if there is any, has been agreed upon
    answered = False  # at least one request
    _timer: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.silent.pop(transport.get_extra_info("socket").fileno(), None)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._writing is not None:
            self._writing.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self.answered = True
        self._await_head()
        follow = super().on_response_complete
        if self.conn.trailing_data[0]:  # who does not wait for answers lets others go first
            self.loop.call_later(_PIPELINED, follow)
        else:
            follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(RECEIVE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()

    def _await_head(self) -> None:
        self._stop_waiting()
        self.waiting[self] = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


# no example: run by `HttpServer`, which needs an export.
class Uvicorn(uvicorn.Server):
    """Listens with `_Connection`, and leaves signals to the code that runs the event loop.

    Where there are too many connections, one makes room that waits for a head: the first that was
    never answered, or else the first.
    """

    def __init__(self, app: Any, listener: Listener, **options: Any) -> None:
        self._waiting: dict[_Connection, float] = {}
        shared = {"waiting": self._waiting, "silent": listener.silent}
        self._protocol = type("Connection", (_Connection,), shared)
        super().__init__(
            uvicorn.Config(
                app,
                http=self._protocol,
                interface="asgi3",
                ws="none",
                h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
                timeout_keep_alive=int(HEAD_SECONDS),
                log_config=None,
                access_log=False,
                lifespan="off",
                **options,
            )
        )
        self.config.load()
        self._listener = listener
        listener.make_room = self._make_room

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        tls = self.config.ssl

        def connection() -> asyncio.Protocol:
            return self._protocol(self.config, self.server_state, self.lifespan.state)

        server = await asyncio.get_running_loop().create_server(
            connection,
            sock=self._listener,
            ssl=tls,
            ssl_handshake_timeout=HEAD_SECONDS if tls else None,
            ssl_shutdown_timeout=HEAD_SECONDS if tls else None,
            backlog=self.config.backlog,
        )
        self.servers = [server]
        self.started = True

    def close(self) -> None:
        """Listens no more."""
        for server in self.servers:
            server.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _make_room(self, seconds: float) -> bool:
        found = min(self._waiting, key=lambda each: each.answered, default=None)
        if found is None or found.loop.time() - self._waiting[found] < seconds:
            return False
        del self._waiting[found]
        found.transport.abort()
        return True
