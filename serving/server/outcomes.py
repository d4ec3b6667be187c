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
# What a request may be counted for: the models, and what asks both of them.
_COUNTED = (*MODELS, "embeddings", "search")
# As TensorFlow Serving cuts what it says (model_servers/grpc_status_util.cc). What gRPC takes more
# for, a client cannot receive, and takes for a reason to ask again.
_MOST_BYTES = 1024


class Refusal(MiteError):
    """Why a request is not answered, and the status of gRPC that tells it.

    The message is cut after 1024 bytes; what UTF-8 cannot hold is escaped in it.

    Example:
        >>> Refusal(StatusCode.NOT_FOUND, "There is no model dog.").code.name
        'NOT_FOUND'
    """

    def __init__(self, code: StatusCode, message: str) -> None:
        # A message may echo what was sent: names of megabytes, halves of surrogate pairs.
        data = message[:_MOST_BYTES].encode(errors="backslashreplace")[:_MOST_BYTES]
        super().__init__(data.decode(errors="ignore"))
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
    """Counts and logs the request that the block answers, and turns its errors into refusals.

    No refusal is kept in a variable: its traceback would lead to the variable, and so keep the
    request until the next round of the garbage collector.
    """
    start = time.perf_counter()
    model = model if model in _COUNTED else "unknown"  # no label that a caller makes up
    code, message = "CANCELLED", ""
    try:
        yield
        code = "OK"
    except Refusal as refusal:
        code, message = refusal.code.name, str(refusal)
        raise
    except MiteError as error:
        code, message = "INVALID_ARGUMENT", str(error)
        raise invalid(message) from error
    except Exception as error:
        code, message = "INTERNAL", f"The server failed: {error!r}"
        _log.exception("request failed", extra={"model": model, "api": api})
        raise Refusal(StatusCode.INTERNAL, message) from error
    finally:
        seconds = time.perf_counter() - start
        metrics.count(model, code)
        if code == "OK":
            metrics.request_time_of(model, api, entry).observe(1e6 * seconds)
        if _log.isEnabledFor(logging.DEBUG):
            about = {"model": model, "api": api, "entry": entry, "status": code, "error": message}
            _log.debug("request", extra=about | {"milliseconds": round(1e3 * seconds, 3)})
