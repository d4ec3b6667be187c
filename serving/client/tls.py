"""Certificates of a client, and why a server does not accept them."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from mite_tf.errors import MiteError

Pem = str | Path | bytes
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

    Raises:
        MiteError: If certificate and key are not given together.

    Example:
        >>> ClientTLS(certificate="client.pem")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Mutual TLS takes both, certificate and key; key is missing.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise MiteError(f"Mutual TLS takes both, certificate and key; {missing} is missing.")

    def contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Returns authorities, key and certificate as PEM.

        Raises:
            MiteError: If a file cannot be read, or is not PEM.
        """
        return _pem("ca", self.ca), _pem("key", self.key), _pem("certificate", self.certificate)


def _pem(name: str, source: Pem | None) -> bytes | None:
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


def explain_refusal(target: str, tls: ClientTLS | None, details: str) -> str | None:
    """Returns why a server hangs up in the handshake; gRPC says no more than "Socket closed".

    Args:
        target: Address of the server.
        tls: Certificates of the client, if it speaks TLS.
        details: What gRPC said.

    Returns:
        A cause that is certain; None where trying again may help.

    Example:
        >>> explain_refusal("localhost:1", None, "Connection refused")
    """
    if "failed to connect" not in details or "Socket closed" not in details:
        return None
    host, _, port = target.removeprefix("dns:///").rpartition(":")
    if not port.isdecimal() or host.startswith("unix"):
        return None
    speaks_tls, asks_certificate = _probe(host.strip("[]"), int(port))
    if not speaks_tls:
        return None
    if tls is None:
        return f"{target} speaks TLS, and this client does not. Give tls=ClientTLS(ca=…)" + (
            " with certificate and key, which the server asks for." if asks_certificate else "."
        )
    if not asks_certificate:
        return None
    if tls.certificate is None:
        return (
            f"{target} asks for a certificate of the client. "
            "Give ClientTLS(certificate=…, key=…) as well."
        )
    return (
        f"{target} does not accept the certificate of this client. Is it signed by an authority "
        "that the server trusts, and not out of date?"
    )


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
                return "alert" in str(error).lower(), "alert" in str(error).lower()
            with encrypted:
                encrypted.settimeout(_ALERT)
                return True, _hangs_up(encrypted)
    except OSError:
        return False, False


def _hangs_up(encrypted: ssl.SSLSocket) -> bool:
    """Returns whether a server ends the connection; a content one sends its HTTP/2 settings."""
    try:
        return encrypted.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:  # an alert, or the connection is reset
        return True
