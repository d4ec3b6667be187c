"""Why a server hangs up during the handshake: gRPC says no more than "Socket closed"."""

from __future__ import annotations

import socket
import ssl

from mite_tf.serving.client.tls import ClientTLS

# Seconds for connecting, and for an alert that follows a handshake.
_CONNECT, _ALERT = 2.0, 0.5


def explain(target: str, tls: ClientTLS | None, details: str) -> str | None:
    """Returns a cause that is certain; None where trying again may help.

    Args:
        target: Address of the server.
        tls: Certificates of the client, if it speaks TLS.
        details: What gRPC said.

    Example:
        >>> explain("localhost:1", None, "Connection refused")
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
    """Whether a server speaks TLS, and whether it wants a certificate of the client."""
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
    """A server that is content speaks first, with the settings of HTTP/2."""
    try:
        return encrypted.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:  # an alert, or the connection is reset
        return True
