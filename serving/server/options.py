"""How a server is set up, down to TensorFlow Serving's batching parameters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from google.protobuf import text_format

from mite_tf.errors import MiteError
from mite_tf.serving.backends.backend import MAX_IMAGE_PIXELS
from mite_tf.serving.backends.open import KINDS
from mite_tf.serving.wire.messages import BatchingParameters

_BACKENDS = ("auto", *KINDS)
# Fields of the batching parameters file, with the least value of each.
_BATCHING = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "num_batch_threads": 1,
    "max_enqueued_batches": 1,
    "max_execution_batch_size": 0,
}


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
        """Returns the contents of certificate, key and authority."""
        client_ca = _read(self.client_ca) if self.client_ca else None
        return _read(self.cert), _read(self.key), client_ca


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MiteError(f"{path}: cannot be read: {error.strerror}.") from error


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests that wait are put into one call.

    The names are those of TensorFlow Serving's file, and so are the defaults, but for the
    timeout, which is 0 here: requests gather while the model is busy, and none waits for others.

    Attributes:
        max_batch_size: Most rows of a request, and of a call unless larger requests are split.
        batch_timeout_micros: Microseconds that a call may wait to become full.
        num_batch_threads: Calls at the same time.
        max_enqueued_batches: Full batches that may wait; what comes beyond is refused at once.
        max_execution_batch_size: Most rows of one call, where larger requests are split.
        gather: Whether requests share calls at all.

    Example:
        >>> Batching(max_batch_size=32, num_batch_threads=2).capacity
        384
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    num_batch_threads: int = os.cpu_count() or 1
    max_enqueued_batches: int = 10
    max_execution_batch_size: int = 0
    gather: bool = True

    @property
    def rows_of_a_call(self) -> int:
        """Most rows of one call."""
        return self.max_execution_batch_size or self.max_batch_size

    @property
    def capacity(self) -> int:
        """Most rows that may be under way."""
        running = self.num_batch_threads * self.rows_of_a_call
        return self.max_enqueued_batches * self.max_batch_size + running


def read_batching(path: str | Path) -> Batching:
    """Reads a file for TensorFlow Serving's `--batching_parameters_file`.

    `allowed_batch_sizes` are checked but nothing is padded: no backend here compiles for a
    shape, so that padding would only add rows. `pad_variable_length_inputs` is refused, because
    TensorFlow Serving pads with the first element, which no tokenizer means.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w") as file:
        ...     print("max_batch_size { value: 32 }", file=file, flush=True)
        ...     read_batching(file.name).max_batch_size
        32
    """
    path = Path(path)
    message = BatchingParameters()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise MiteError(f"{path}: not a batching parameters file: {error}") from error
    if message.pad_variable_length_inputs:
        raise MiteError(
            f"{path}: pad_variable_length_inputs is not supported: send strings, or token ids of "
            "one length."
        )
    values = {name: getattr(message, name).value for name in _BATCHING if message.HasField(name)}
    if not message.enable_large_batch_splitting.value:
        values.pop("max_execution_batch_size", None)
    for name, value in values.items():
        if value < _BATCHING[name]:
            raise MiteError(f"{path}: {name} is {value}; it must be at least {_BATCHING[name]}.")
    batching = Batching(**values)
    # As servables/tensorflow/bundle_factory_util.cc and batching/batching_session.cc check them.
    sizes = list(message.allowed_batch_sizes)
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != batching.max_batch_size):
        raise MiteError(
            f"{path}: allowed_batch_sizes are {sizes}; they must increase, and the last must be "
            f"{batching.max_batch_size}, as max_batch_size."
        )
    if sizes and sizes[-1] != batching.rows_of_a_call:
        raise MiteError(
            f"{path}: max_execution_batch_size is {batching.rows_of_a_call}, but the last of "
            f"allowed_batch_sizes, as max_batch_size, is {sizes[-1]}. TensorFlow Serving wants "
            "them equal: leave out allowed_batch_sizes to split large requests."
        )
    return batching


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

    Example:
        >>> ServerOptions(export=Path("exports/first"), backend="tflite")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Unknown backend 'tflite'; there are auto, onnx, onnx-int8, ...
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
        if self.backend not in _BACKENDS:
            raise MiteError(f"Unknown backend {self.backend!r}; there are {', '.join(_BACKENDS)}.")
        if not 0 < self.max_image_pixels <= MAX_IMAGE_PIXELS:
            raise MiteError(
                f"max_image_pixels is {self.max_image_pixels}; it must lie between 1 and "
                f"{MAX_IMAGE_PIXELS}."
            )

    def choose_batching(self) -> Batching:
        """Returns the batching parameters: those given, or those of the export."""
        path = Path(self.export) / "tf_serving" / "batching.config"
        if self.batching is not None:
            return self.batching
        return read_batching(path) if path.is_file() else Batching()


# no example: a type of keyword arguments; see `ServerOptions`.
class ServerSettings(TypedDict, total=False):
    """What `serve` and `start_server` take beside the export: the fields of `ServerOptions`."""

    host: str
    port: int
    http_port: int | None
    backend: str
    batching: Batching | None
    tls: TLS | None
    max_message_bytes: int
    max_image_pixels: int
    poll_seconds: float
    grace_seconds: float
