"""Questions and replies as messages of TensorFlow Serving's protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.errors import EmbeddingError
from mite_tf.serving.client.questions import Metadata, Predict, Question, Status, Version
from mite_tf.serving.client.replies import (
    Embedded,
    ModelMetadata,
    Signature,
    Tensor,
    VersionStatus,
)
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name

_SIGNATURES = "signature_def"
_OUTPUT = "embedding"
# Of google.rpc.Code, for errors of a version that is not served.
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        path: Its path in HTTP/2.
        encode: Question to request.
        decode: Response to reply.
    """

    path: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def method_of(question: Question) -> Method:
    """Returns the method that answers a question."""
    return _METHODS[type(question)]


def _specify(specification: Any, model: str, version: Version) -> None:
    specification.name = model
    if version.number is not None:
        specification.version.value = version.number
    if version.label is not None:
        specification.version_label = version.label


def _predict(question: Predict) -> bytes:
    request = messages.PredictRequest()
    _specify(request.model_spec, question.model, question.version)
    request.model_spec.signature_name = question.signature
    rows = question.rows
    if isinstance(rows, list):
        tensor = request.inputs[question.input]
        tensor.dtype = 7
        tensor.tensor_shape.dim.add(size=len(rows))
        tensor.string_val.extend(rows)
    else:
        request.inputs[question.input].CopyFrom(to_tensor(rows))
    request.output_filter.append(_OUTPUT)
    return request.SerializeToString()


def _embedded(data: bytes) -> Embedded:
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


def _metadata(question: Metadata) -> bytes:
    request = messages.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
    _specify(request.model_spec, question.model, question.version)
    return request.SerializeToString()


def _described(data: bytes) -> ModelMetadata:
    response = messages.GetModelMetadataResponse.FromString(data)
    found = messages.SignatureDefMap()
    response.metadata[_SIGNATURES].Unpack(found)
    return ModelMetadata(
        response.model_spec.name,
        _version(response.model_spec),
        {
            name: Signature(_tensors(each.inputs), _tensors(each.outputs))
            for name, each in sorted(found.signature_def.items())
            if not name.startswith("__")
        },
    )


def _tensors(fields: Any) -> dict[str, Tensor]:
    return {
        name: Tensor(
            type_name(each.dtype),
            None
            if each.tensor_shape.unknown_rank
            else tuple(dim.size for dim in each.tensor_shape.dim),
        )
        for name, each in sorted(fields.items())
    }


def _status(question: Status) -> bytes:
    request = messages.GetModelStatusRequest()
    request.model_spec.name = question.model
    return request.SerializeToString()


def _states(data: bytes) -> list[VersionStatus]:
    response = messages.GetModelStatusResponse.FromString(data)
    names = messages.ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_number
    return [
        VersionStatus(
            each.version,
            names[each.state].name if each.state in names else str(each.state),
            _CODES[each.status.error_code]
            if each.status.error_code < len(_CODES)
            else str(each.status.error_code),
            each.status.error_message,
        )
        for each in sorted(response.model_version_status, key=lambda each: each.version)
    ]


_METHODS = {
    Predict: Method(f"/{messages.PREDICTION_SERVICE}/Predict", _predict, _embedded),
    Metadata: Method(f"/{messages.PREDICTION_SERVICE}/GetModelMetadata", _metadata, _described),
    Status: Method(f"/{messages.MODEL_SERVICE}/GetModelStatus", _status, _states),
}
