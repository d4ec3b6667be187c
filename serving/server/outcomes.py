"""How requests end: with an answer or a refusal, counted and logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from grpc import StatusCode

from mite_tf.errors import MiteError
from mite_tf.serving.backends.backend import MODELS
from mite_tf.serving.server.metrics import Metrics

_log = logging.getLogger("mite_tf.serving")


class Refusal(MiteError):
    """Why a request is not answered, and the status of gRPC that tells it.

    Example:
        >>> Refusal(StatusCode.NOT_FOUND, "There is no model dog.").code.name
        'NOT_FOUND'
    """

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> Refusal:
    """Returns the refusal of a request that is itself to blame.

    Example:
        >>> invalid("The batch is empty.").code.name
        'INVALID_ARGUMENT'
    """
    return Refusal(StatusCode.INVALID_ARGUMENT, message)


def stopping() -> Refusal:
    """Returns the refusal of a request that comes when the server has been told to stop.

    Example:
        >>> stopping().code.name
        'UNAVAILABLE'
    """
    return Refusal(StatusCode.UNAVAILABLE, "The server is stopping. Ask again, or another one.")


# no example: it surrounds the answer of a server.
@contextmanager
def recorded(metrics: Metrics, *, model: str, api: str, entry: str) -> Iterator[None]:
    """Counts and logs the request that the block answers, and turns its errors into refusals."""
    start = time.perf_counter()
    model = model if model in MODELS else "unknown"  # no label that a caller makes up
    code, message = "CANCELLED", ""
    try:
        yield
        code = "OK"
    except Exception as error:
        if isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, MiteError):
            refusal = invalid(str(error))
        else:
            _log.exception("request failed", extra={"model": model, "api": api})
            refusal = Refusal(StatusCode.INTERNAL, f"The server failed: {error!r}")
        code, message = refusal.code.name, str(refusal)
        raise refusal from error.__cause__
    finally:
        seconds = time.perf_counter() - start
        metrics.count(model, code)
        if code == "OK":
            metrics.request_time_of(model, api, entry).observe(1e6 * seconds)
        if _log.isEnabledFor(logging.DEBUG):
            about = {"model": model, "api": api, "entry": entry, "status": code, "error": message}
            _log.debug("request", extra=about | {"milliseconds": round(1e3 * seconds, 3)})
