"""GetModelMetadata and GetModelStatus."""

from __future__ import annotations

from typing import Any

from grpc import StatusCode

from mite_tf.serving.backends import Backend
from mite_tf.serving.backends.backend import MODELS
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.predict import OUTPUT
from mite_tf.serving.server.status import Refusal
from mite_tf.serving.wire.messages import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    SignatureDefMap,
)
from mite_tf.serving.wire.tensors import type_number

SIGNATURE_DEF = "signature_def"
_METHOD = "tensorflow/serving/predict"


def model_metadata(models: Models, request: Any) -> Any:
    """Answers a `GetModelMetadataRequest`, as get_model_metadata_impl.cc does.

    Raises:
        Refusal: If it names no model, an unknown one, or an unknown field.
    """
    if not request.HasField("model_spec"):
        raise Refusal(
            StatusCode.INVALID_ARGUMENT, "Missing ModelSpec. Set model_spec.name to image or text."
        )
    if not request.metadata_field:
        raise Refusal(
            StatusCode.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field. Ask for "
            f"{SIGNATURE_DEF}.",
        )
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise Refusal(
                StatusCode.INVALID_ARGUMENT,
                f"Metadata field {field} is not supported. Ask for {SIGNATURE_DEF}.",
            )
    version = models.find(request.model_spec)
    response = GetModelMetadataResponse()
    response.model_spec.name = version.name
    response.model_spec.version.value = version.number
    response.metadata[SIGNATURE_DEF].Pack(_signatures(version.backend))
    return response


def _signatures(backend: Backend) -> Any:
    described = SignatureDefMap()
    for name, signature in backend.signatures.items():
        definition = described.signature_def[name]
        definition.method_name = _METHOD
        given = definition.inputs[signature.input]
        given.name = f"{name}_{signature.input}:0"
        given.dtype = type_number(signature.dtype)
        for size in signature.shape:
            given.tensor_shape.dim.add(size=-1 if size is None else size)
        output = definition.outputs[OUTPUT]
        output.name = f"{name}_{OUTPUT}:0"
        output.dtype = type_number("float32")
        output.tensor_shape.dim.add(size=-1)
        output.tensor_shape.dim.add(size=backend.embedding_size)
    return described


def model_status(models: Models, request: Any) -> Any:
    """Answers a `GetModelStatusRequest`, as get_model_status_impl.cc does.

    Raises:
        Refusal: If it names no model, or nothing is known of the model or version.
    """
    if not request.HasField("model_spec"):
        raise Refusal(
            StatusCode.INVALID_ARGUMENT, "Missing ModelSpec. Set model_spec.name to image or text."
        )
    spec = request.model_spec
    states = models.states(spec.name)
    if spec.HasField("version"):
        number = spec.version.value
        if number not in states:
            raise Refusal(
                StatusCode.NOT_FOUND,
                f"Could not find version {number} of model {spec.name}. Known: "
                f"{', '.join(map(str, states)) or 'none'}.",
            )
        states = {number: states[number]}
    if not states:
        raise Refusal(
            StatusCode.NOT_FOUND,
            f"Could not find any versions of model {spec.name}. The models are "
            f"{' and '.join(MODELS)}.",
        )
    response = GetModelStatusResponse()
    for number, state in states.items():
        status = response.model_version_status.add(version=number, state=state.number)
        status.status.error_code = StatusCode.INTERNAL.value[0] if state.error else 0
        status.status.error_message = state.error
    return response
