"""Requests to the server under test, made once and sent many times."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from PIL import Image

from mite_tf.errors import MiteError, printable
from mite_tf.files import is_hidden, refuse_pointer
from mite_tf.serving.client import ClientTLS
from mite_tf.serving.client.connection import Connection, bearer
from mite_tf.serving.client.protocol import WHAT_TO_CHECK, told_when_silent
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name

PREDICT = f"/{messages.PREDICTION_SERVICE}/Predict"
_METADATA = f"/{messages.PREDICTION_SERVICE}/GetModelMetadata"
_PORT = 8500  # of TensorFlow Serving and of `mite serve`
_MOST_BYTES = 64 << 20  # of all requests together: every client process holds them
_COLOURS = ("red", "green", "blue", "yellow", "purple")
_SHAPES = ("circle", "square", "triangle", "star")
_PICTURES, _SIZE = 16, 256  # generated pictures, and their pixels a side
_ARRAYS, _LENGTH = 64, 16  # other generated arrays, and their sizes where these are free
_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


# no example: part of `load_test`.
class Requests(NamedTuple):
    """Requests to a server, each a serialised `PredictRequest`."""

    connection: Connection
    messages: list[bytes]
    version: int | None  # of the model that answered the first of them


# no example: part of `load_test`.
def prepare(
    host: str,
    *,
    model: str,
    signature: str,
    batch: int,
    inputs: str | Path | None = None,
    deadline: float = 10.0,
    tls: bool | ClientTLS = False,
    token: str | None = None,
) -> Requests:
    """Asks the server for its signature, makes requests for it, and tries the first one.

    The arguments are those of `load_test`.
    """
    connection = Connection(
        target=_with_port(host),
        tls=ClientTLS() if tls is True else tls or None,
        token=token,
        token_in_clear=True,
        keepalive=20.0,
        # Without its own pool, channels of a process to one address share a connection.
        channel_options=[("grpc.use_local_subchannel_pool", 1)],
    )
    where = connection.target
    with open_channel(connection) as channel:

        def ask(method: str, message: bytes) -> bytes:
            call, metadata = channel.unary_unary(method), metadata_of(connection)
            try:
                with told_when_silent(where, deadline):
                    return call(message, timeout=deadline, metadata=metadata)
            except grpc.RpcError as error:
                details = f"{error.code().name}: {str(error.details()).rstrip('.')}."
                if error.code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    details += f" {WHAT_TO_CHECK}"
                raise MiteError(f"{where}: {printable(details)}") from error

        question = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        question.model_spec.name = model
        described = ask(_METADATA, question.SerializeToString())
        name, dtype, shape = _input_of(described, f"{where}: {model!r}", signature)
        images = name in ("image_bytes", "pixels")
        rows = _make_inputs(dtype=dtype, shape=shape, images=images, path=inputs)
        sent: list[bytes] = []
        for first in range(len(rows)):
            request = messages.PredictRequest()
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            chosen = [rows[(first + n) % len(rows)] for n in range(batch)]
            column = np.array(chosen, object) if dtype == "string" else np.stack(chosen)
            request.inputs[name].CopyFrom(to_tensor(column))
            sent.append(request.SerializeToString())
            if sum(map(len, sent)) > _MOST_BYTES:
                break
        answer = messages.PredictResponse.FromString(ask(PREDICT, sent[0]))
    shapes = {name: list(to_array(tensor).shape) for name, tensor in answer.outputs.items()}
    if not shapes or any(each[:1] != [batch] for each in shapes.values()):
        raise MiteError(f"{where}: {batch} rows were sent; the answer holds {shapes}.")
    spec = answer.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return Requests(connection=connection, messages=sent, version=version)


def _with_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return host if name and port.isdigit() else f"{host}:{_PORT}"


# no example: part of `load_test`.
def open_channel(connection: Connection, module: Any = grpc) -> Any:
    """Opens a channel of `grpc` or of `grpc.aio`."""
    credentials, options = connection.credentials(), connection.options()
    if credentials is None:
        return module.insecure_channel(connection.target, options)
    return module.secure_channel(connection.target, credentials, options)


# no example: part of `load_test`.
def metadata_of(connection: Connection) -> list[tuple[str, str]]:
    """Returns what goes with each request: the token."""
    return bearer(connection.token) if isinstance(connection.token, str) else []


def _input_of(described: bytes, where: str, signature: str) -> tuple[str, str, list[int]]:
    found = messages.SignatureDefMap()
    messages.GetModelMetadataResponse.FromString(described).metadata["signature_def"].Unpack(found)
    # `__saved_model_init_op` is listed too, and is no signature to call.
    known = sorted(name for name, each in found.signature_def.items() if each.inputs)
    if signature not in known:
        raise MiteError(f"{where} has no signature {signature!r}; it has {', '.join(known)}.")
    inputs = found.signature_def[signature].inputs
    if len(inputs) != 1:
        raise MiteError(
            f"{where}: {signature!r} takes {len(inputs)} inputs; a load test sends only one."
        )
    [(name, info)] = inputs.items()
    return name, type_name(info.dtype), [dim.size for dim in info.tensor_shape.dim][1:]


def _make_inputs(
    *, dtype: str, shape: Sequence[int], images: bool, path: str | Path | None = None
) -> list[Any]:
    """Returns rows for a signature of this type and shape of a row, from files or generated."""
    if path is not None:
        if dtype != "string":
            raise MiteError(f"{path}: this signature takes {dtype}; files are sent as strings.")
        return _image_files(Path(path)) if images else _captions(Path(path))
    if dtype == "string":
        return _pictures() if images else _sentences()
    random = np.random.default_rng(0)
    count, free = (_PICTURES, _SIZE) if images else (_ARRAYS, _LENGTH)
    size = (count, *(free if each < 0 else each for each in shape))
    if dtype == "float":
        return list(random.random(size, np.float32) * np.float32(255 if images else 1))
    if dtype == "uint8":
        return list(random.integers(0, 256, size, np.uint8))
    if dtype == "int32":  # token ids that every vocabulary has; 0 would be padding
        return list(random.integers(1, 16, size, np.int32))
    raise MiteError(f"Nothing can be generated for a signature of {dtype} {list(shape)}.")


def _captions(path: Path) -> list[bytes]:
    if not path.is_file():
        raise MiteError(f"{path}: no file. Give a text file with a caption a line.")
    refuse_pointer(path)
    captions = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    if not captions:
        raise MiteError(f"{path}: holds no caption.")
    return [caption.encode() for caption in captions]


def _image_files(path: Path) -> list[bytes]:
    files = [path]
    if not path.is_file():
        below = (file.relative_to(path) for file in sorted(path.rglob("*")))
        files = [path / file for file in below if not any(map(is_hidden, file.parts))]
    pictures = [
        file.read_bytes() for file in files if file.suffix.lower() in _SUFFIXES and file.is_file()
    ]
    if not pictures:
        raise MiteError(f"{path}: neither an image file nor a folder of them.")
    return pictures


def _sentences() -> list[bytes]:
    things = [f"a {colour} {shape}" for colour, shape in product(_COLOURS, _SHAPES)]
    return [f"{one} left of {other}".encode() for one, other in product(things, repeat=2)]


def _pictures() -> list[bytes]:
    random = np.random.default_rng(0)
    files = []
    for _ in range(_PICTURES):
        # Noise, so that a file is about as large as that of a photo.
        noise = random.normal(128, 12, (_SIZE, _SIZE, 3)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files
