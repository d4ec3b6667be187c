"""How a server is reached: address, certificates, token, and the channel that asks it."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mite_tf.errors import MiteError
from mite_tf.serving.client.call import check_seconds
from mite_tf.serving.client.protocol import (
    CLOSED,
    Failure,
    MetadataQuestion,
    PredictQuestion,
    StatusQuestion,
)

if TYPE_CHECKING:  # a client of an export folder does without
    import grpc

Token = str | Callable[[], str | Awaitable[str]]
_Pem = str | Path | bytes
_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")
# Seconds for connecting, and for an alert that follows a handshake.
_CONNECT, _ALERT = 2.0, 0.5


@dataclass(frozen=True, kw_only=True)
class ClientTLS:
    """Certificates of a client; each a path of a PEM file, or its contents as `bytes`.

    Args:
        ca: Certificates of the authorities to trust; those that gRPC brings by default.
        certificate: Certificate of the client, with the chain behind it, for mutual TLS.
        key: Private key of that certificate.
        server_name: Name in the server's certificate, where it is reached by another one.

    Example:
        >>> ClientTLS(certificate="client.pem")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Mutual TLS takes both, certificate (--cert) and key (--key); ...
    """

    ca: _Pem | None = None
    certificate: _Pem | None = None
    key: _Pem | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise MiteError(
                "Mutual TLS takes both, certificate (--cert) and key (--key); "
                f"{missing} is missing."
            )


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a server is reached; the arguments of `EmbeddingClient` of the same names.

    Example:
        >>> Connection("http://models:8500/")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: http://models:8500/: gRPC takes no such address; give ...
    """

    target: str = field(kw_only=False)
    tls: ClientTLS | None = None
    token: Token | None = None
    token_in_clear: bool = False
    keepalive: float = 20.0
    channel_options: Sequence[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        check_seconds("keepalive", self.keepalive)
        if self.target.startswith(_SCHEMES):
            address = self.target.partition("://")[2].rstrip("/")
            raise MiteError(
                f"{self.target}: gRPC takes no such address; give {address!r}, with "
                "tls=ClientTLS() (--tls) if the server speaks TLS."
            )
        if self.token and not (self.tls or self.token_in_clear or _stays_here(self.target)):
            raise MiteError(
                f"The token would go to {self.target} in the clear. Give tls=ClientTLS() (--tls), "
                "or in Python token_in_clear=True where something else encrypts, such as a service "
                "mesh."
            )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns certificates for gRPC; None without TLS."""
        import grpc

        tls = self.tls
        return tls and grpc.ssl_channel_credentials(
            _pem("ca", tls.ca), _pem("key", tls.key), _pem("certificate", tls.certificate)
        )

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


def _pem(name: str, source: _Pem | None) -> bytes | None:
    if source is None:
        return None
    where = f"{name} (bytes)" if isinstance(source, bytes) else f"{name}: {source}"
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise MiteError(f"{where}: cannot be read: {error.strerror}.") from error
    wanted = b"PRIVATE KEY-----" if name == "key" else b"-----BEGIN CERTIFICATE-----"
    if wanted not in data:
        raise MiteError(f"{where}: no {'private key' if name == 'key' else 'certificate'} in PEM.")
    return data


def bearer(token: str) -> list[tuple[str, str]]:
    """Returns the metadata of a token, and refuses one that cannot stand in a header.

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
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.place: str | None = connection.target
        self._credentials = connection.credentials()
        self._closed = False
        self._opened: list[grpc.Channel] = []  # all are kept: freeing one takes its locks
        self._open()

    def _open(self) -> None:
        import grpc

        self._process = os.getpid()
        target, options = self._connection.target, self._connection.options()
        channel = (
            grpc.insecure_channel(target, options)
            if self._credentials is None
            else grpc.secure_channel(target, self._credentials, options)
        )
        self._opened.append(channel)
        kinds = (PredictQuestion, MetadataQuestion, StatusQuestion)
        self._stubs = {kind: channel.unary_unary(kind.method) for kind in kinds}

    async def ask(self, question: StatusQuestion, *, timeout: float, wait: bool) -> Any:
        import grpc

        metadata = await self._metadata()
        if self._closed:
            raise MiteError(CLOSED)
        if self._process != os.getpid():
            self._open()  # locks of the old channel may be held by threads that a fork lacks
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: grpc.Future) -> None:  # in a thread of gRPC
            with suppress(RuntimeError):  # a cancelled call may end after its loop
                loop.call_soon_threadsafe(ended.set)

        call = self._stubs[type(question)].future(
            question.request().SerializeToString(),
            timeout=None if timeout == math.inf else timeout,
            metadata=metadata,
            wait_for_ready=wait,
        )
        call.add_done_callback(tell)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            call.cancel()
            raise
        try:
            response = call.result()
        except grpc.FutureCancelledError as error:  # the channel was closed
            raise Failure("CANCELLED", "The channel was closed.") from error
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from error
        return question.reply(response)

    async def _metadata(self) -> list[tuple[str, str]] | None:
        token: Any = self._connection.token
        if token is None:
            return None
        if callable(token):
            token = await asyncio.to_thread(token)  # it may read a file or ask a server
        return bearer(await token if inspect.isawaitable(token) else token)

    def explain(self, details: str) -> str | None:
        # A server hung up in the handshake; gRPC does not say why.
        target, tls = self._connection.target, self._connection.tls
        if "failed to connect" not in details or "Socket closed" not in details:
            return None
        host, _, port = target.removeprefix("dns:///").rpartition(":")
        if not port.isdecimal() or host.startswith("unix"):
            return None
        speaks_tls, asks_certificate = _probe(host.strip("[]"), int(port))
        if not speaks_tls:
            return None
        if tls is None:
            told = f"{target} speaks TLS, and this client does not. Give tls=ClientTLS(ca=…) (--ca)"
            if asks_certificate:
                told += " with certificate and key (--cert and --key), which the server asks for"
            return f"{told}."
        if not asks_certificate:
            return None
        if tls.certificate is None:
            return (
                f"{target} asks for a client certificate. Give ClientTLS(certificate=…, key=…) "
                "(--cert and --key)."
            )
        return (
            f"{target} does not accept the certificate of this client. Is it signed by an "
            "authority that the server trusts, and not out of date?"
        )

    def close(self) -> None:
        self._closed = True
        if self._process == os.getpid():
            self._opened[-1].close()


def _probe(host: str, port: int) -> tuple[bool, bool]:
    """Returns whether a server speaks TLS, and whether it wants a certificate of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; only the kind of answer counts
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), _CONNECT) as plain:
            try:
                encrypted = context.wrap_socket(plain, server_hostname=host)
            except ssl.SSLError as error:
                alert = "alert" in str(error).lower()
                return alert, alert
            with encrypted:
                encrypted.settimeout(_ALERT)
                try:  # a content server sends its HTTP/2 settings, another one hangs up
                    return True, encrypted.recv(1) == b""
                except TimeoutError:
                    return True, False
                except OSError:  # an alert, or the connection is reset
                    return True, True
    except OSError:
        return False, False
