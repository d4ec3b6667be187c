"""Predict: a request's tensor to embeddings, with the checks of TensorFlow Serving."""

from __future__ import annotations

from typing import Any

import numpy as np
from grpc import StatusCode

from mite_tf.serving.backends import Signature
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.status import Refusal
from mite_tf.serving.server.version import Version
from mite_tf.serving.wire.messages import PredictResponse
from mite_tf.serving.wire.tensors import to_array, type_name, type_number

DEFAULT_SIGNATURE = "serving_default"
OUTPUT = "embedding"


async def predict(models: Models, request: Any) -> Any:
    """Answers a `PredictRequest` with a `PredictResponse`.

    Order and wording of the checks follow servables/tensorflow/predict_impl.cc and
    predict_util.cc of TensorFlow Serving.

    Raises:
        MiteError: If the request cannot be answered.
    """
    if not request.HasField("model_spec"):
        raise Refusal(
            StatusCode.INVALID_ARGUMENT, "Missing ModelSpec. Set model_spec.name to image or text."
        )
    version = models.find(request.model_spec)
    with version.used():
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = find_signature(version, name)
        array = _input(signature, request)
        check_output_filter(request.output_filter)
        embedding = await version.embed(name, array)
        return _response(version, name, embedding)


def find_signature(version: Version, name: str) -> Signature:
    """Returns a signature of a version by name.

    Raises:
        Refusal: If there is none of this name.
    """
    signature = version.backend.signatures.get(name)
    if signature is None:
        raise Refusal(
            StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found. {version.name} has '
            f"{', '.join(version.backend.signatures)}.",
        )
    return signature


def _input(signature: Signature, request: Any) -> np.ndarray:
    inputs = request.inputs
    if len(inputs) != 1:
        sent = sorted(inputs)
        extra = ",".join(name for name in sent if name != signature.input)
        missing = "" if signature.input in sent else signature.input
        raise Refusal(
            StatusCode.INVALID_ARGUMENT,
            f"input size does not match signature: {len(sent)}!=1 len({{{','.join(sent)}}}) != "
            f"len({{{signature.input}}}). Sent extra: {{{extra}}}. Missing but required: "
            f"{{{missing}}}.",
        )
    if signature.input not in inputs:
        [sent] = inputs
        raise Refusal(
            StatusCode.INVALID_ARGUMENT,
            f"input tensor alias not found in signature: {sent}. Inputs expected to be in the set "
            f"{{{signature.input}}}.",
        )
    tensor = inputs[signature.input]
    wanted = type_number(signature.dtype)
    if tensor.dtype != wanted:
        raise Refusal(
            StatusCode.INVALID_ARGUMENT,
            f"Expects arg[0] to be {type_name(wanted)} but {type_name(tensor.dtype)} is provided. "
            f"Send {signature.input} as {type_name(wanted)}.",
        )
    return to_array(tensor)


def check_output_filter(names: Any) -> None:
    """Refuses to give what is no output, or an output twice."""
    seen = set()
    for name in names:
        if name != OUTPUT:
            raise Refusal(
                StatusCode.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{OUTPUT}}}.",
            )
        if name in seen:
            raise Refusal(
                StatusCode.INVALID_ARGUMENT,
                f"duplicate output tensor alias: {name}. Name each output once.",
            )
        seen.add(name)


def _response(version: Version, signature: str, embedding: np.ndarray) -> Any:
    response = PredictResponse()
    spec = response.model_spec
    spec.name = version.name
    spec.version.value = version.number
    spec.signature_name = signature
    tensor = response.outputs[OUTPUT]
    tensor.dtype = 1  # DT_FLOAT
    for size in embedding.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = embedding.tobytes()
    return response
