"""How a server is reached: address, certificates, token, and the channel that asks it."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import grpc

from mite_tf.errors import MiteError
from mite_tf.serving.client.errors import CLOSED, Failure
from mite_tf.serving.client.options import check_seconds
from mite_tf.serving.client.protocol import METHODS
from mite_tf.serving.client.questions import Question
from mite_tf.serving.client.tls import ClientTLS, explain_refusal

Token = str | Callable[[], str | Awaitable[str]]
_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a server is reached; the arguments of `EmbeddingClient` of the same names.

    Raises:
        MiteError: If the address is none, or a token would travel in the clear.

    Example:
        >>> Connection(target="http://models:8500/", tls=None, token=None, token_in_clear=False,
        ...            keepalive=20.0, channel_options=())
        Traceback (most recent call last):
        mite_tf.errors.MiteError: http://models:8500/: gRPC takes no such address; give ...
    """

    target: str
    tls: ClientTLS | None
    token: Token | None
    token_in_clear: bool
    keepalive: float
    channel_options: Sequence[tuple[str, Any]]

    def __post_init__(self) -> None:
        check_seconds("keepalive", self.keepalive)
        if self.target.startswith(_SCHEMES):
            address = self.target.partition("://")[2].rstrip("/")
            raise MiteError(
                f"{self.target}: gRPC takes no such address; give {address!r}, with "
                "tls=ClientTLS() if the server speaks TLS."
            )
        if self.token and not (self.tls or self.token_in_clear or _stays_here(self.target)):
            raise MiteError(
                f"The token would go to {self.target} in the clear. Give tls=ClientTLS(), or "
                "token_in_clear=True where something else encrypts, such as a service mesh."
            )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns certificates for gRPC; None without TLS."""
        if self.tls is None:
            return None
        ca, key, certificate = self.tls.contents()
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def options(self) -> list[tuple[str, Any]]:
        """Returns the settings of the channel."""
        milliseconds = int(self.keepalive * 1000)
        settings: dict[str, Any] = {
            # A reply of many long embeddings passes 4 MB; rows per request bound it.
            "grpc.max_receive_message_length": 1 << 28,
            # A server that vanished without a word is noticed while a call waits for it. None
            # without a call: servers hang up on those who ping without need.
            "grpc.keepalive_time_ms": milliseconds,
            "grpc.keepalive_timeout_ms": min(milliseconds, 10_000),
            "grpc.keepalive_permit_without_calls": 0,
            # A server that comes back is reached in a second or two, not in gRPC's two minutes.
            "grpc.initial_reconnect_backoff_ms": 100,
            "grpc.min_reconnect_backoff_ms": 1000,
            "grpc.max_reconnect_backoff_ms": 2000,
        }
        if self.tls and self.tls.server_name:
            settings["grpc.ssl_target_name_override"] = self.tls.server_name
        return list({**settings, **dict(self.channel_options)}.items())


def _stays_here(target: str) -> bool:
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.removeprefix("dns:///").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def bearer(token: str) -> list[tuple[str, str]]:
    """Returns the metadata of a token.

    Raises:
        MiteError: If it cannot stand in a header.

    Example:
        >>> bearer("secret")
        [('authorization', 'Bearer secret')]
    """
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise MiteError("The token must be a str of printable ASCII characters, without a newline.")
    return [("authorization", f"Bearer {token}")]


# no example: that of `AsyncEmbeddingClient` asks through it
class Channel:
    """A connection to a server.

    It is a channel of blocking gRPC whose calls are awaited. `grpc.aio` answers a lone request a
    little sooner, but in a fork of a process that has used it, the first request hangs.

    Args:
        connection: How the server is reached.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = connection.credentials()
        self._closed = False
        self._opened: list[grpc.Channel] = []  # all are kept: freeing one takes its locks
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        target, options = self._connection.target, self._connection.options()
        channel = (
            grpc.insecure_channel(target, options)
            if self._credentials is None
            else grpc.secure_channel(target, self._credentials, options)
        )
        self._opened.append(channel)
        self._stubs = {kind: channel.unary_unary(path) for kind, (path, _, _) in METHODS.items()}

    async def ask(self, question: Question, *, timeout: float | None, wait: bool) -> Any:
        metadata = await self._metadata()
        if self._closed:
            raise MiteError(CLOSED)
        if self._process != os.getpid():
            self._open()  # locks of the old channel may be held by threads that a fork lacks
        _, encode, decode = METHODS[type(question)]
        call = self._stubs[type(question)].future(
            encode(question),
            timeout=timeout,
            metadata=metadata,
            wait_for_ready=wait,
        )
        try:
            await _end_of(call)
        except asyncio.CancelledError:
            call.cancel()
            raise
        try:
            response = call.result()
        except grpc.FutureCancelledError as error:  # the channel was closed
            raise Failure("CANCELLED", "The channel was closed.") from error
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from error
        return decode(response)

    async def _metadata(self) -> list[tuple[str, str]] | None:
        token: Any = self._connection.token
        if token is None:
            return None
        if callable(token):
            token = await asyncio.to_thread(token)  # it may read a file or ask a server
        return bearer(await token if inspect.isawaitable(token) else token)

    def explain(self, details: str) -> str | None:
        return explain_refusal(self._connection.target, self._connection.tls, details)

    def close(self) -> None:
        self._closed = True
        if self._process == os.getpid():
            self._opened[-1].close()


async def _end_of(call: grpc.Future) -> None:
    """Waits until a call has ended, which gRPC tells in a thread of its own."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_: grpc.Future) -> None:
        with suppress(RuntimeError):  # a cancelled call may end after its loop
            loop.call_soon_threadsafe(ended.set)

    call.add_done_callback(tell)
    await ended.wait()
