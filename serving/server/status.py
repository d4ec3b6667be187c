"""Requests that are not answered, with the status that TensorFlow Serving gives them."""

from __future__ import annotations

from grpc import StatusCode

from mite_tf.errors import MiteError


class Refusal(MiteError):
    """Why a request is not answered.

    Args:
        code: Status of gRPC.
        message: What was wrong with the request and what to change.
    """

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def as_refusal(error: Exception) -> Refusal | None:
    """Returns what the caller is told of an error; None if it is the server's own."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, MiteError):
        return Refusal(StatusCode.INVALID_ARGUMENT, str(error))
    return None
