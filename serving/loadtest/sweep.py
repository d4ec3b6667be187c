"""Load tests with more and more clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.serving.loadtest.load_test import load_test
from mite_tf.serving.loadtest.proposal import Proposal, propose
from mite_tf.serving.loadtest.result import LoadTestResult

CLIENTS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Load tests with more and more clients, and what follows from them.

    Attributes:
        results: One for each number of clients.
        proposal: Batching parameters; None if it was stopped before the first answers.
    """

    results: tuple[LoadTestResult, ...]
    proposal: Proposal | None

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped early."""
        return any(each.interrupted for each in self.results)

    @property
    def error_rate(self) -> float:
        """The highest share of errors among the load tests."""
        return max((each.error_rate for each in self.results), default=1.0)

    def write_json(self, path: str | Path) -> None:
        """Writes all numbers as JSON."""
        values: dict[str, Any] = {
            "results": [each.to_dict() for each in self.results],
            "proposal": None if self.proposal is None else asdict(self.proposal),
        }
        write_text(path, json.dumps(values, indent=2) + "\n")


def load_sweep(
    host: str,
    *,
    clients: Sequence[int] = CLIENTS,
    seconds: float = 5.0,
    p99: float | None = None,
    threads: int,
    **options: Any,
) -> Sweep:
    """Measures a server with more and more clients and proposes batching parameters.

    Ctrl-C ends it and gives what was measured so far.

    Args:
        host: Host, with or without a port.
        clients: The numbers of clients, each measured alone, in this order.
        seconds: How long to measure each.
        p99: Latency in milliseconds that 99 of 100 requests must not exceed.
        threads: Cores of the server that batches may use.
        options: As for `load_test`; no `rate`.

    Raises:
        MiteError: As `load_test` and `propose`.
    """
    if not clients:
        raise MiteError("A sweep needs numbers of clients, such as 1,2,4,8.")
    if options.get("rate") is not None:
        raise MiteError("A sweep varies the number of clients; a rate is for single load tests.")
    results: list[LoadTestResult] = []
    for number in clients:
        results.append(load_test(host, clients=number, seconds=seconds, **options))
        if results[-1].interrupted:
            break
    answered = any(each.answered for each in results)
    proposal = propose(results, p99=p99, threads=threads) if answered else None
    return Sweep(results=tuple(results), proposal=proposal)
