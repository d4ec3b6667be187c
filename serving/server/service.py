"""Predict, GetModelMetadata and GetModelStatus, however a request comes.

Order and wording of the checks are those of TensorFlow Serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from grpc import StatusCode

from mite_tf.serving.backends import SignatureSpec
from mite_tf.serving.backends.backend import MODELS, check_shape
from mite_tf.serving.server.model_version import ModelVersion
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.outcomes import Refusal, invalid
from mite_tf.serving.wire import messages
from mite_tf.serving.wire.tensors import shape_of, to_array, to_tensor, type_name, type_number

_SIGNATURE_DEF = "signature_def"
_DEFAULT_SIGNATURE = "serving_default"
_METHOD = "tensorflow/serving/predict"
_OUTPUT = "embedding"


# no example: a server calls it; see `start_server`.
async def predict(models: Models, request: Any) -> Any:
    """Answers a `PredictRequest`, as predict_impl.cc and predict_util.cc do."""
    version = models.find(_spec(request))
    with version.used():
        name, signature = find_signature(version, request.model_spec.signature_name)
        tensor, shape = _input(version, signature, request.inputs)
        _check_output_filter(request.output_filter)
        values = len(tensor.float_val) + len(tensor.int_val)
        array = await models.lanes.read(0, to_array, tensor, shape, values=values)
        embedding = await embed(version, name, array)
    response = messages.PredictResponse()
    spec = response.model_spec
    spec.name = version.name
    spec.version.value = version.number
    spec.signature_name = name
    response.outputs[_OUTPUT].CopyFrom(to_tensor(embedding))
    return response


# no example: a server calls it; see `start_server`.
async def embed(version: ModelVersion, name: str, array: np.ndarray) -> np.ndarray:
    """Embeds the input of a signature, and refuses what is too large for finite embeddings."""
    embedding = await version.embed(name, array)
    # Only numbers that are sent can do so. `all` of a few rows is cheap, but not for nothing.
    if array.dtype == np.float32 and not np.isfinite(embedding).all():
        raise invalid(
            f"{version.backend.signatures[name].input}: too large, so that the embedding is not "
            "finite. Send numbers of the range of the training."
        )
    return embedding


# no example: a server calls it; see `start_server`.
def find_signature(version: ModelVersion, name: str) -> tuple[str, SignatureSpec]:
    """Returns the name of a signature, the default one if it is empty, and what it takes."""
    name = name or _DEFAULT_SIGNATURE
    signature = version.backend.signatures.get(name)
    if signature is None:
        raise Refusal(
            StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found. {version.name} has '
            f"{', '.join(version.backend.signatures)}.",
        )
    return name, signature


# no example: a server calls it; see `start_server`.
async def model_metadata(models: Models, request: Any) -> Any:
    """Answers a `GetModelMetadataRequest`, as get_model_metadata_impl.cc does."""
    spec = _spec(request)
    if not request.metadata_field:
        raise invalid(
            "GetModelMetadataRequest must specify at least one metadata_field. Ask for "
            f"{_SIGNATURE_DEF}."
        )
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise invalid(f"Metadata field {field} is not supported. Ask for {_SIGNATURE_DEF}.")
    version = models.find(spec)
    response = messages.GetModelMetadataResponse()
    response.model_spec.name = version.name
    response.model_spec.version.value = version.number
    described = messages.SignatureDefMap()
    for name, (given, dtype, shape) in version.backend.signatures.items():
        definition = described.signature_def[name]
        definition.method_name = _METHOD
        _describe(definition.inputs[given], f"{name}_{given}:0", dtype, shape)
        size = (None, version.backend.embedding_size)
        _describe(definition.outputs[_OUTPUT], f"{name}_{_OUTPUT}:0", "float32", size)
    response.metadata[_SIGNATURE_DEF].Pack(described)
    return response


# no example: a server calls it; see `start_server`.
async def model_status(models: Models, request: Any) -> Any:
    """Answers a `GetModelStatusRequest`, as get_model_status_impl.cc does."""
    spec = _spec(request)
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
    response = messages.GetModelStatusResponse()
    for number, state in states.items():
        status = response.model_version_status.add(version=number, state=state.number)
        status.status.error_code = StatusCode.INTERNAL.value[0] if state.error else 0
        status.status.error_message = state.error
    return response


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec. Set model_spec.name to image or text.")
    return request.model_spec


def _input(
    version: ModelVersion, signature: SignatureSpec, inputs: Any
) -> tuple[Any, tuple[int, ...]]:
    """Returns the tensor that a signature takes, of which type and claimed shape are checked."""
    if len(inputs) != 1:
        sent = sorted(inputs)
        extra = ",".join(name for name in sent if name != signature.input)
        missing = "" if signature.input in sent else signature.input
        raise invalid(
            f"input size does not match signature: {len(sent)}!=1 len({{{','.join(sent)}}}) != "
            f"len({{{signature.input}}}). Sent extra: {{{extra}}}. Missing but required: "
            f"{{{missing}}}."
        )
    if signature.input not in inputs:
        [sent] = inputs
        raise invalid(
            f"input tensor alias not found in signature: {sent}. Inputs expected to be in the set "
            f"{{{signature.input}}}."
        )
    tensor = inputs[signature.input]
    wanted = type_number(signature.dtype)
    if tensor.dtype != wanted:
        raise invalid(
            f"Expects arg[0] to be {type_name(wanted)} but {type_name(tensor.dtype)} is provided. "
            f"Send {signature.input} as {type_name(wanted)}."
        )
    shape = shape_of(tensor)
    if shape:
        version.check_rows(shape[0])
    check_shape(signature, shape)
    return tensor, shape


def _check_output_filter(names: Any) -> None:
    for number, name in enumerate(names):
        if name != _OUTPUT:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{_OUTPUT}}}."
            )
        if number:
            raise invalid(f"duplicate output tensor alias: {name}. Name each output once.")


def _describe(info: Any, name: str, dtype: str, shape: Iterable[int | None]) -> None:
    info.name = name
    info.dtype = type_number(dtype)
    for size in shape:
        info.tensor_shape.dim.add(size=-1 if size is None else size)
