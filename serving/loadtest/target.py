"""The server under test, and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from mite_tf.serving.client.tls import ClientTLS

PORT = 8500  # of TensorFlow Serving and of `mite serve`
HTTP_PORT = 8501


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server under test, and how to reach it.

    Attributes:
        address: Host and port, such as `localhost:8500`.
        tls: Certificates of an encrypted connection; None for plain text.
        token: Bearer token that is sent with each request.
    """

    address: str
    tls: ClientTLS | None = None
    token: str | None = None

    @property
    def host(self) -> str:
        """The host without the port."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each request."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel(self) -> grpc.Channel:
        """Opens a channel."""
        if self.tls is None:
            return grpc.insecure_channel(self.address, self._options())
        return grpc.secure_channel(self.address, self._credentials(), self._options())

    def aio_channel(self) -> grpc.aio.Channel:
        """Opens a channel of asyncio."""
        if self.tls is None:
            return grpc.aio.insecure_channel(self.address, self._options())
        return grpc.aio.secure_channel(self.address, self._credentials(), self._options())

    def _credentials(self) -> grpc.ChannelCredentials:
        assert self.tls is not None
        return grpc.ssl_channel_credentials(*self.tls.contents())

    def _options(self) -> list[tuple[str, Any]]:
        options: list[tuple[str, Any]] = [
            # Without its own pool, channels of a process to one address share a connection.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def make_target(host: str, *, tls: bool | ClientTLS = False, token: str | None = None) -> Target:
    """Completes the address of a server.

    Args:
        host: Host, with or without a port; 8500 by default.
        tls: Whether to encrypt, or the certificates.
        token: Bearer token.

    Raises:
        MiteError: If a certificate cannot be read.

    Example:
        >>> make_target("localhost").address, make_target("[::1]:9000").host
        ('localhost:8500', '::1')
    """
    name, _, port = host.rpartition(":")
    address = host if name and port.isdigit() else f"{host or 'localhost'}:{PORT}"
    certificates = ClientTLS() if tls is True else tls or None
    if certificates is not None:
        certificates.contents()  # raises here and not in a client process
    return Target(address=address, tls=certificates, token=token)
