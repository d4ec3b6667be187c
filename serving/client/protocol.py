"""What is asked of a model and what comes back, as messages of TensorFlow Serving's protocol."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mite_tf.errors import MiteError, printable
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name, type_number

CLOSED = "This client is closed. Make a new one."
_SIGNATURES = "signature_def"
_OUTPUT = "embedding"
# Of google.rpc.Code, for errors of a version that is not served.
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class EmbeddingError(MiteError):
    """A request failed for good: refused, out of time, or the server cannot be reached.

    `code` is the name of the gRPC status code, such as `UNAVAILABLE`; `server_message` is what the
    server, or gRPC itself, said.

    Example:
        >>> EmbeddingError("Model 'text': no such version", code="NOT_FOUND").code
        'NOT_FOUND'
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", server_message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.server_message = server_message

    def retold(self, message: str) -> EmbeddingError:
        """Returns the same error with another message."""
        return EmbeddingError(message, code=self.code, server_message=self.server_message)


# no example: raised where two versions meet
class MixedVersionsError(EmbeddingError):
    """Embeddings of two versions of the models would have been put together."""


# Seconds without an answer after which a person hears that one is waited for.
SILENCE = 3.0
WHAT_TO_CHECK = (
    "Is a server running there, does this machine reach it, and is it the port of gRPC (8500, "
    "where REST has 8501), with or without TLS as asked for?"
)
# What to do about an error, by its code.
HINTS = {
    "NOT_FOUND": "`status()` says which models and versions are served.",
    "UNAUTHENTICATED": "Give token= (--token-file), or a client certificate in ClientTLS "
    "(--cert and --key).",
    "PERMISSION_DENIED": "Is the token meant for this server?",
    "UNAVAILABLE": WHAT_TO_CHECK,
    "UNIMPLEMENTED": "Does another kind of server listen there? "
    "It must speak TensorFlow Serving's gRPC protocol.",
}
_log = logging.getLogger("mite_tf.serving.client")


# no example: it takes a server that is silent
def tell_waiting(place: str, timeout: float, failure: Failure | None = None) -> None:
    """Logs, as a warning, that a server is waited for, what failed and what to look at.

    Without a configuration of logs, Python writes warnings to standard error.
    """
    until = "until it answers" if timeout == math.inf else f"up to {timeout:g} s"
    said = f"{failure.told()}" if failure else WHAT_TO_CHECK
    _log.warning("%s: no answer for %g s; waiting %s. %s", place, SILENCE, until, said)


# no example: it takes a server that is silent
@contextmanager
def told_when_silent(place: str, timeout: float) -> Iterator[None]:
    """Tells of waiting if the block, which asks a server, takes long."""
    timer = threading.Timer(SILENCE, tell_waiting, (place, timeout))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# no example: it never leaves the client
class Failure(Exception):
    """One attempt failed; gRPC's code, and what the server, or gRPC itself, said."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details

    def told(self, tries: str = "") -> str:
        """Returns it as sentences, with what to do."""
        details = printable(self.details or "no message").rstrip(".")
        return f"{self.code}{tries}: {details}. {HINTS.get(self.code, '')}".rstrip()


@dataclass(frozen=True)
class Tensor:
    """Type and shape of an input or an output.

    `dtype` is TensorFlow's name, such as `float`; in `shape`, -1 is any size, and None any rank.

    Example:
        >>> str(Tensor("float", (-1, 256)))
        'float [-1, 256]'
    """

    dtype: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.dtype} [{shape}]"


# no example: part of `ModelMetadata`
@dataclass(frozen=True)
class ModelSignature:
    """One way to call a model: its inputs and outputs by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


# no example: a server returns it
@dataclass(frozen=True)
class ModelMetadata:
    """What a server says of one version of a model; the signatures by name."""

    name: str
    version: int | None
    signatures: dict[str, ModelSignature]


# no example: a server returns it
@dataclass(frozen=True)
class VersionStatus:
    """State of one version of a model: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.

    `code` is `OK`, or the name of the code of what went wrong, which `message` tells.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


# no example: arrays of a model's size
@dataclass(frozen=True)
class Embedded:
    """Embeddings, float32 `[N, D]`, and the version that made them; None if nobody said."""

    values: np.ndarray
    version: int | None


@dataclass(frozen=True, kw_only=True)
class StatusQuestion:
    """Asks one model for the state of all its versions.

    Example:
        >>> str(StatusQuestion(model="text"))
        "Model 'text'"
    """

    method: ClassVar[str] = f"/{messages.MODEL_SERVICE}/GetModelStatus"
    model: str

    def __str__(self) -> str:
        return f"Model {self.model!r}"

    def request(self) -> Any:
        """Returns the message that asks."""
        request = messages.GetModelStatusRequest()
        request.model_spec.name = self.model
        return request

    def reply(self, data: bytes) -> Any:
        """Returns what a response says, here a list of `VersionStatus`."""
        response = messages.GetModelStatusResponse.FromString(data)
        names = messages.ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_number
        found = []
        for each in sorted(response.model_version_status, key=lambda each: each.version):
            state = names[each.state].name if each.state in names else str(each.state)
            number, message = each.status.error_code, each.status.error_message
            code = _CODES[number] if number < len(_CODES) else str(number)
            found.append(VersionStatus(each.version, state, code, message))
        return found


# no example: as `StatusQuestion`
@dataclass(frozen=True, kw_only=True)
class MetadataQuestion(StatusQuestion):
    """Asks for the signatures of a version, by number or label; else of the preferred one."""

    method: ClassVar[str] = f"/{messages.PREDICTION_SERVICE}/GetModelMetadata"
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{super().__str__()}, version {self.version}"
        labelled = f", the version labelled {self.label}" if self.label else ""
        return super().__str__() + labelled

    def request(self) -> Any:
        request = messages.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
        self._specify(request.model_spec)
        return request

    def _specify(self, specification: Any) -> None:
        specification.name = self.model
        if self.version is not None:
            specification.version.value = self.version
        if self.label is not None:
            specification.version_label = self.label

    def reply(self, data: bytes) -> Any:
        response = messages.GetModelMetadataResponse.FromString(data)
        found = messages.SignatureDefMap()
        response.metadata[_SIGNATURES].Unpack(found)
        signatures = {
            name: ModelSignature(_tensors(each.inputs), _tensors(each.outputs))
            for name, each in sorted(found.signature_def.items())
            if not name.startswith("__")
        }
        spec = response.model_spec
        return ModelMetadata(spec.name, _version(spec), signatures)


@dataclass(frozen=True, kw_only=True)
class PredictQuestion(MetadataQuestion):
    """Asks for the embeddings of rows: a list of `bytes`, or an array with rows along axis 0.

    Example:
        >>> str(PredictQuestion(model="text", version=3, signature="", input="text", rows=[b"a"]))
        "Model 'text', version 3, 1 rows"
    """

    method: ClassVar[str] = f"/{messages.PREDICTION_SERVICE}/Predict"
    signature: str
    input: str
    rows: Any

    def __str__(self) -> str:
        return f"{super().__str__()}, {len(self.rows)} rows"

    def request(self) -> Any:
        request = messages.PredictRequest(output_filter=[_OUTPUT])
        self._specify(request.model_spec)
        request.model_spec.signature_name = self.signature
        tensor = request.inputs[self.input]
        if isinstance(self.rows, list):
            tensor.dtype = type_number("string")
            tensor.tensor_shape.dim.add(size=len(self.rows))
            tensor.string_val.extend(self.rows)
        else:
            tensor.CopyFrom(to_tensor(self.rows))
        return request

    def reply(self, data: bytes) -> Any:
        response = messages.PredictResponse.FromString(data)
        if _OUTPUT not in response.outputs:
            raise EmbeddingError(
                f"The server answered with {sorted(response.outputs)} instead of `{_OUTPUT}`. "
                "Was this model exported by `mite export`?"
            )
        try:
            values = to_array(response.outputs[_OUTPUT])
        except MiteError as error:
            raise EmbeddingError(f"The server's answer cannot be read: {error}") from error
        if values.dtype != np.float32 or values.ndim != 2:
            raise EmbeddingError(
                f"The server answered with {values.dtype} of shape {list(values.shape)}; "
                "expected float32 [N, D]."
            )
        return Embedded(values, _version(response.model_spec))


def _version(specification: Any) -> int | None:
    return specification.version.value if specification.HasField("version") else None


def _tensors(fields: Any) -> dict[str, Tensor]:
    found = {}
    for name, each in sorted(fields.items()):
        shape = each.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        found[name] = Tensor(type_name(each.dtype), sizes)
    return found
