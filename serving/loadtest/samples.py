"""What every request of a load test went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One entry for each request that was sent; times in seconds after the measurement began.

    Attributes:
        due: float64 `[N]`, when the request was to be sent. Without a fixed rate, when it was.
        sent: float64 `[N]`, when it was sent.
        ended: float64 `[N]`, when its answer or error came.
        code: int16 `[N]`, status code of gRPC; 0 for an answer.
        bytes_sent: int64 `[N]`, size of the request.
        bytes_received: int64 `[N]`, size of the answer.
    """

    due: np.ndarray
    sent: np.ndarray
    ended: np.ndarray
    code: np.ndarray
    bytes_sent: np.ndarray
    bytes_received: np.ndarray

    def where(self, mask: np.ndarray) -> Samples:
        """Returns the requests that a mask picks."""
        return Samples(**{each.name: getattr(self, each.name)[mask] for each in fields(self)})


DTYPES = {
    "due": np.float64,
    "sent": np.float64,
    "ended": np.float64,
    "code": np.int16,
    "bytes_sent": np.int64,
    "bytes_received": np.int64,
}


def joined(parts: Sequence[Samples]) -> Samples:
    """Joins what several processes measured, in the order in which requests ended."""
    columns = {
        name: np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
        for name, dtype in DTYPES.items()
    }
    order = np.argsort(columns["ended"], kind="stable")
    return Samples(**{name: column[order] for name, column in columns.items()})
