"""How a server is set up, down to TensorFlow Serving's batching parameters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from google.protobuf import text_format

from mite_tf.errors import MiteError
from mite_tf.serving.backends.backend import MAX_IMAGE_PIXELS
from mite_tf.serving.backends.open import KINDS
from mite_tf.serving.server.tls import TLS
from mite_tf.serving.wire.messages import BatchingParameters

_BACKENDS = ("auto", *KINDS)
# Fields of the batching parameters file, with the least and the greatest value of each.
_BATCHING = {
    "max_batch_size": (1, 1_000_000),
    "batch_timeout_micros": (0, 60_000_000),
    "num_batch_threads": (1, 1024),
    "max_enqueued_batches": (1, 1_000_000),
    "max_execution_batch_size": (0, 1_000_000),
}
_MOST_MESSAGE, _DAY = 1 << 30, 86_400


def _check(name: str, value: Any, least: float, most: float, kind: Any = int) -> None:
    """Refuses a value that is no number of a kind, or lies outside its range."""
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        a_number = "an integer" if kind is int else "a number"
        raise MiteError(
            f"{name} is {repr(value)[:80]}; it must be {a_number} from {least} to {most}."
        )


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

    def __post_init__(self) -> None:
        for name, (least, most) in _BATCHING.items():
            _check(name, getattr(self, name), least, most)
        if self.max_execution_batch_size > self.max_batch_size:
            raise MiteError(
                f"max_execution_batch_size is {self.max_execution_batch_size}, more than "
                f"max_batch_size, {self.max_batch_size}. Lower it."
            )

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
        if path.exists() and not path.is_file():
            raise MiteError(f"{path}: not a batching parameters file: it is no file.")
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
    try:
        batching = Batching(**values)
    except MiteError as error:
        raise MiteError(f"{path}: {error}") from error
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
        port: Port of gRPC, up to 65535; 0 for any that is free.
        http_port: Port of REST and metrics; 0 for any that is free, None for none.
        index: Index of a collection, which `/search` of HTTP answers from; None for none.
        backend: `onnx`, `onnx-int8`, `savedmodel`, or `auto` for the best that there is.
        batching: How requests share calls; None for the batching file of the export.
        tls: Certificates; None for plain text.
        max_message_bytes: Largest message of gRPC, and body of REST; 1 KiB to 1 GiB.
        max_image_pixels: Width times height beyond which an image is refused.
        poll_seconds: Seconds between two looks at the export folder, 0.01 to a day.
        grace_seconds: Seconds after which a server that stops has ended in any case.

    Example:
        >>> ServerOptions(export=Path("exports/first"), backend="tflite")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: Unknown backend 'tflite'; there are auto, onnx, onnx-int8, ...
    """

    export: Path
    host: str = "127.0.0.1"
    port: int = 8500
    http_port: int | None = 8501
    index: str | Path | None = None
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
        if not self.host or not isinstance(self.host, str):
            raise MiteError(f"host is {self.host!r}; name an address, such as 127.0.0.1.")
        _check("port (--port)", self.port, 0, 65_535)
        if self.http_port is not None:
            _check("http_port (--http-port)", self.http_port, 0, 65_535)
            if self.port == self.http_port != 0:
                raise MiteError(f"port and http_port are both {self.port}. Name two.")
        elif self.index is not None:
            raise MiteError("An index is searched over HTTP: name an http_port (--http-port).")
        _check("max_message_bytes (--max-message-mib)", self.max_message_bytes, 1024, _MOST_MESSAGE)
        most = MAX_IMAGE_PIXELS
        _check("max_image_pixels (--max-image-megapixels)", self.max_image_pixels, 1, most)
        _check("poll_seconds", self.poll_seconds, 0.01, _DAY, (int, float))
        _check("grace_seconds", self.grace_seconds, 0, _DAY, (int, float))
        if self.tls is not None:
            self.tls.read()

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
    index: str | Path | None
    backend: str
    batching: Batching | None
    tls: TLS | None
    max_message_bytes: int
    max_image_pixels: int
    poll_seconds: float
    grace_seconds: float
