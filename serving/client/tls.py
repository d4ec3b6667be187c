"""Certificates for a connection by TLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mite_tf.errors import MiteError

Pem = str | Path | bytes


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
