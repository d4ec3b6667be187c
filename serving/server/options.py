"""How a server is set up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mite_tf.errors import MiteError
from mite_tf.serving.backends.inputs import MAX_IMAGE_PIXELS
from mite_tf.serving.backends.open import KINDS, check_kind, choose_kind
from mite_tf.serving.server.batching import Batching, read_batching

BACKENDS = ("auto", *KINDS)


@dataclass(frozen=True, kw_only=True)
class TLS:
    """PEM files of a server that encrypts.

    Attributes:
        cert: Its certificate, with those between it and its authority.
        key: Its private key.
        client_ca: Authority of clients' certificates; with it, every client must show one.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Returns certificate, key and authority.

        Raises:
            MiteError: If a file cannot be read.
        """
        found = []
        for path in (self.cert, self.key, self.client_ca):
            try:
                found.append(Path(path).read_bytes() if path else None)
            except OSError as error:
                raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error
        cert, key, client_ca = found
        assert cert is not None
        assert key is not None
        return cert, key, client_ca


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Settings of a server.

    Attributes:
        export: Export folder.
        host: Address to listen on.
        port: Port of gRPC; 0 for any that is free.
        http_port: Port of REST and metrics; 0 for any that is free, None for none.
        backend: `onnx`, `onnx-int8`, `savedmodel`, or `auto` for the best that there is.
        batching: How requests share calls; None for the batching file of the export.
        tls: Certificates; None for plain text.
        max_message_bytes: Largest message of gRPC, and body of REST.
        max_image_pixels: Width times height beyond which an image is refused.
        poll_seconds: Seconds between two looks at the export folder.
        grace_seconds: Seconds that requests get to end when the server stops.
    """

    export: Path
    host: str = "127.0.0.1"
    port: int = 8500
    http_port: int | None = 8501
    backend: str = "auto"
    batching: Batching | None = None
    tls: TLS | None = None
    max_message_bytes: int = 64 << 20
    max_image_pixels: int = MAX_IMAGE_PIXELS
    poll_seconds: float = 1.0
    grace_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise MiteError(f"Unknown backend {self.backend!r}; there are {', '.join(BACKENDS)}.")
        if not 0 < self.max_image_pixels <= MAX_IMAGE_PIXELS:
            raise MiteError(
                f"max_image_pixels is {self.max_image_pixels}; it must lie between 1 and "
                f"{MAX_IMAGE_PIXELS}."
            )

    def choose_kind(self) -> str:
        """Returns the kind of backend to use.

        Raises:
            MiteError: If the export or a package is missing.
        """
        kind = choose_kind(self.export) if self.backend == "auto" else self.backend
        check_kind(kind)
        return kind

    def choose_batching(self) -> Batching:
        """Returns the batching parameters: those given, or those of the export."""
        path = Path(self.export) / "tf_serving" / "batching.config"
        if self.batching is not None:
            return self.batching
        return read_batching(path) if path.is_file() else Batching()
