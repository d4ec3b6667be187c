"""The log of a server: everything that its process says, one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

# Of one kind of warning or error so many lines are written in so many seconds.
_LINES, _SECONDS = 10, 10.0
_MOST_KINDS = 1000
_log = logging.getLogger("mite_tf.serving")
# What every record has; the rest was given with `extra`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


# no example: it changes the loggers, and standard error, of the whole process.
@contextmanager
def logged_to_stderr(level: str) -> Iterator[None]:
    """Sends what this process says in the block to standard error: the server's from a level on.

    Of what libraries log, of Python's warnings and of errors that nobody catches, everything from
    warnings on; and what code below Python writes to standard error, such as gRPC's.
    """
    if sys.stderr is None:  # it was closed: nobody listens
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with os.fdopen(kept, "w", encoding="utf-8", errors="backslashreplace") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_JsonFormatter())
        handler.addFilter(_Repeated())
        hooks = threading.excepthook, sys.unraisablehook
        logging.root.handlers[:] = [handler]
        logging.root.setLevel(logging.WARNING)
        _log.setLevel(level.upper())
        logging.captureWarnings(True)
        threading.excepthook = sys.unraisablehook = _log_uncaught
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        thread = threading.Thread(target=_forward, args=(reading,), name="mite-log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            thread.join(1.0)
            threading.excepthook, sys.unraisablehook = hooks
            logging.captureWarnings(False)
            logging.root.handlers[:] = []


def _forward(reading: int) -> None:
    with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if line.strip():
                _log.warning(line.rstrip(), extra={"source": "stderr"})


def _log_uncaught(caught: Any) -> None:
    raised = (caught.exc_type, caught.exc_value, caught.exc_traceback)
    if caught.exc_type is not SystemExit:
        _log.error("uncaught error", exc_info=raised)


class _JsonFormatter(logging.Formatter):
    """Writes time, level, message and the extra values of a record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class _Repeated(logging.Filter):
    """Holds back warnings and errors that come over and over; the next says how many.

    A kind is a place in the code with the beginning of what it says, without its numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[Any, tuple[float, int]] = {}  # since when, and how many

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.clear()
        kind = (record.pathname, record.lineno, re.sub(r"\d+", "", str(record.msg)[:120]))
        now = time.monotonic()
        since, count = self._kinds.get(kind, (now, 0))
        if now - since > _SECONDS:
            if count > _LINES:
                record.held_back = count - _LINES
            since, count = now, 0
        self._kinds[kind] = since, count + 1
        return count < _LINES
