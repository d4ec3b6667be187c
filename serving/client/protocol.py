"""Questions and replies as messages of TensorFlow Serving's protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client.errors import EmbeddingError
from mite_tf.serving.client.questions import (
    Embedded,
    Metadata,
    ModelMetadata,
    ModelSignature,
    Predict,
    Question,
    Tensor,
    VersionStatus,
)
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name, type_number

_SIGNATURES = "signature_def"
_OUTPUT = "embedding"
# Of google.rpc.Code, for errors of a version that is not served.
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def _specify(specification: Any, question: Metadata) -> None:
    specification.name = question.model
    if question.version is not None:
        specification.version.value = question.version
    if question.label is not None:
        specification.version_label = question.label


def _encode_predict(question: Predict) -> bytes:
    request = messages.PredictRequest()
    _specify(request.model_spec, question)
    request.model_spec.signature_name = question.signature
    rows = question.rows
    if isinstance(rows, list):
        tensor = request.inputs[question.input]
        tensor.dtype = type_number("string")
        tensor.tensor_shape.dim.add(size=len(rows))
        tensor.string_val.extend(rows)
    else:
        request.inputs[question.input].CopyFrom(to_tensor(rows))
    request.output_filter.append(_OUTPUT)
    return request.SerializeToString()


def _decode_predict(data: bytes) -> Embedded:
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


def _encode_metadata(question: Metadata) -> bytes:
    request = messages.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
    _specify(request.model_spec, question)
    return request.SerializeToString()


def _decode_metadata(data: bytes) -> ModelMetadata:
    response = messages.GetModelMetadataResponse.FromString(data)
    found = messages.SignatureDefMap()
    response.metadata[_SIGNATURES].Unpack(found)
    return ModelMetadata(
        response.model_spec.name,
        _version(response.model_spec),
        {
            name: ModelSignature(_tensors(each.inputs), _tensors(each.outputs))
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


def _encode_status(question: Question) -> bytes:
    request = messages.GetModelStatusRequest()
    request.model_spec.name = question.model
    return request.SerializeToString()


def _decode_status(data: bytes) -> list[VersionStatus]:
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


# Path of the method in HTTP/2, question to request, response to reply.
METHODS: dict[type[Question], tuple[str, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    Predict: (f"/{messages.PREDICTION_SERVICE}/Predict", _encode_predict, _decode_predict),
    Metadata: (
        f"/{messages.PREDICTION_SERVICE}/GetModelMetadata",
        _encode_metadata,
        _decode_metadata,
    ),
    Question: (f"/{messages.MODEL_SERVICE}/GetModelStatus", _encode_status, _decode_status),
}
