"""Certificates of a server that encrypts, checked before anything listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mite_tf.errors import MiteError


@dataclass(frozen=True, kw_only=True)
class TLS:
    """PEM files of a server that encrypts: its certificate chain and private key.

    With `client_ca`, an authority, every client must show a certificate of it.

    Example:
        >>> TLS(cert=Path("none.pem"), key=Path("key.pem")).read()
        Traceback (most recent call last):
        mite_tf.errors.MiteError: none.pem: cannot be read: No such file or directory.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Returns the contents of certificate, key and authority.

        Raises:
            MiteError: If one cannot be used, or certificate and key do not belong together.
        """
        cert, key = _read(self.cert, "CERTIFICATE"), _read(self.key, "PRIVATE KEY")
        client_ca = _read(self.client_ca, "CERTIFICATE") if self.client_ca else None
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            server.load_cert_chain(self.cert, self.key, password=self._refuse_encrypted)
        except (ssl.SSLError, ValueError) as error:
            if isinstance(error, MiteError):
                raise
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                raise MiteError(f"{self.key}: is not the key of {self.cert}.") from error
            raise MiteError(
                f"{self.cert} and {self.key}: cannot be used as certificate and private key: "
                f"{_said(error)}."
            ) from error
        try:
            _shake_hands(server, self.cert)
        except ssl.SSLError as error:
            raise MiteError(f"{self.cert}: cannot be used: {_said(error)}.") from error
        if client_ca is not None:
            try:
                server.load_verify_locations(cadata=client_ca.decode("ascii", "replace"))
            except ssl.SSLError as error:
                raise MiteError(
                    f"{self.client_ca}: cannot be used as an authority: {_said(error)}."
                ) from error
        return cert, key, client_ca

    def _refuse_encrypted(self) -> NoReturn:
        raise MiteError(
            f"{self.key}: is encrypted, and a server has nobody to ask. Store it decrypted, as "
            "`openssl pkey` does."
        )


def _read(path: Path, kind: str) -> bytes:
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise MiteError(f"{path}: cannot be read: it is no file.")
        data = path.read_bytes()
    except OSError as error:
        raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error
    if f"{kind}-----".encode() not in data:
        raise MiteError(f"{path}: holds no {kind.lower()} in PEM format.")
    return data


def _shake_hands(server: ssl.SSLContext, cert: Path) -> None:
    """Connects to a server as a client that trusts its certificate, if that is valid."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cert)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


def _said(error: Exception) -> str:
    """What OpenSSL says, without its places in the code."""
    said = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    return str(said).lower().replace("_", " ")
