"""How a server is reached: address, certificates, token, settings of the channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import grpc

from mite_tf.errors import MiteError
from mite_tf.serving.client.tls import ClientTLS

Token = str | Callable[[], str | Awaitable[str]]
_SCHEMES = ("http://", "https://", "grpc://", "grpcs://")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a server is reached; the arguments of `EmbeddingClient` of the same names.

    Raises:
        MiteError: If the address is none, or a token would travel in the clear.
    """

    target: str
    tls: ClientTLS | None
    token: Token | None
    token_in_clear: bool
    keepalive: float
    channel_options: Sequence[tuple[str, Any]]

    def __post_init__(self) -> None:
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
