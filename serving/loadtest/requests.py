"""Requests of a load test, made once and sent many times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest.inputs import make_inputs
from mite_tf.serving.loadtest.target import Target
from mite_tf.serving.wire.messages import (
    PREDICTION_SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from mite_tf.serving.wire.tensors import to_array, to_tensor, type_name

PREDICT = f"/{PREDICTION_SERVICE}/Predict"
_MOST_BYTES = 64 << 20  # of all requests together: every client process holds them
_METADATA = f"/{PREDICTION_SERVICE}/GetModelMetadata"


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Requests, each a serialised `PredictRequest`.

    Attributes:
        messages: The requests.
        version: Version of the model that answered the first of them.
    """

    messages: list[bytes]
    version: int | None


def prepare(
    target: Target,
    *,
    model: str,
    signature: str,
    batch: int,
    inputs: str | Path | None,
    deadline: float,
) -> Requests:
    """Asks the server for its signature, makes requests for it, and tries the first one.

    Args:
        target: The server.
        model: Name of the model.
        signature: Name of the signature.
        batch: Rows in each request.
        inputs: Where inputs come from, as in `make_inputs`.
        deadline: Seconds to wait for an answer.

    Raises:
        MiteError: If the server cannot be reached, knows no such model or signature, or does not
            answer the first request as it should.
    """
    with target.channel() as channel:
        metadata = GetModelMetadataResponse.FromString(
            _call(channel, target, _METADATA, _metadata_request(model), deadline)
        )
        name, dtype, shape = _input_of(metadata, target, model, signature)
        images = name in ("image_bytes", "pixels")
        rows = make_inputs(dtype=dtype, shape=shape, images=images, path=inputs)
        messages: list[bytes] = []
        for first in range(len(rows)):
            chosen = [rows[(first + n) % len(rows)] for n in range(batch)]
            messages.append(_request(model, signature, name, chosen))
            if sum(map(len, messages)) > _MOST_BYTES:
                break
        answer = PredictResponse.FromString(_call(channel, target, PREDICT, messages[0], deadline))
    _check(answer, target, batch)
    spec = answer.model_spec
    return Requests(
        messages=messages, version=spec.version.value if spec.HasField("version") else None
    )


def _metadata_request(model: str) -> bytes:
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    return request.SerializeToString()


def _input_of(
    metadata: Any, target: Target, model: str, signature: str
) -> tuple[str, str, list[int]]:
    found = SignatureDefMap()
    metadata.metadata["signature_def"].Unpack(found)
    # `__saved_model_init_op` is listed too, and is no signature to call.
    known = sorted(name for name, each in found.signature_def.items() if each.inputs)
    if signature not in known:
        raise MiteError(
            f"{target.address}: the model {model!r} has no signature {signature!r}; it has "
            f"{', '.join(known)}."
        )
    inputs = found.signature_def[signature].inputs
    if len(inputs) != 1:
        raise MiteError(
            f"{target.address}: {signature!r} of {model!r} takes {len(inputs)} inputs; load tests "
            "are for signatures of one."
        )
    [(name, info)] = inputs.items()
    return name, type_name(info.dtype), [dim.size for dim in info.tensor_shape.dim][1:]


def _request(model: str, signature: str, name: str, rows: list[Any]) -> bytes:
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    column = np.array(rows, object) if isinstance(rows[0], bytes) else np.stack(rows)
    request.inputs[name].CopyFrom(to_tensor(column))
    return request.SerializeToString()


def _call(
    channel: grpc.Channel, target: Target, method: str, message: bytes, deadline: float
) -> bytes:
    try:
        return channel.unary_unary(method)(message, timeout=deadline, metadata=target.metadata)
    except grpc.RpcError as error:
        raise MiteError(
            f"{target.address}: {error.code().name}: {str(error.details()).rstrip('.')}."
            + (_UNREACHABLE if error.code() is grpc.StatusCode.UNAVAILABLE else "")
        ) from error


_UNREACHABLE = " Is a server running there, and with or without TLS as asked for?"


def _check(answer: Any, target: Target, batch: int) -> None:
    outputs = {name: to_array(tensor) for name, tensor in answer.outputs.items()}
    wrong = [name for name, value in outputs.items() if value.shape[:1] != (batch,)]
    if not outputs or wrong:
        raise MiteError(
            f"{target.address}: {batch} rows were sent, and the answer holds "
            f"{ {name: list(value.shape) for name, value in outputs.items()} }."
        )
