"""What a client process is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from mite_tf.serving.loadtest.samples import Samples
from mite_tf.serving.loadtest.target import Target


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a client process does.

    Attributes:
        target: The server.
        messages: Serialised requests, sent in turn.
        clients: Clients of this process.
        seconds: How long it measures.
        warmup: How long it sends before.
        deadline: Seconds after which a request has failed.
        interval: Seconds between two requests of this process; None for a client that sends its
            next request when it has the answer to the last.
        offset: Seconds until the first of them, so that processes take turns.
        first: Which of the messages comes first.
    """

    target: Target
    messages: list[bytes]
    clients: int
    seconds: float
    warmup: float
    deadline: float
    interval: float | None
    offset: float
    first: int


@dataclass(frozen=True)
class Start:
    """The measurement begins at this time of `time.monotonic`, after the warm-up."""

    at: float


@dataclass(frozen=True)
class Stop:
    """The measurement ends at this time of `time.monotonic`."""

    at: float


@dataclass(frozen=True)
class Ready:
    """All clients are connected; or why they are not."""

    problem: str = ""


@dataclass(frozen=True)
class Progress:
    """Answers and errors so far."""

    answered: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a client process measured.

    Attributes:
        samples: Every request that was answered or failed.
        not_sent: Requests that fell due but found no free client.
        messages: One message for each status code of an error.
        cpu_seconds: Processor time of the process while it measured.
        busy: Share of the time in which its main thread ran or waited for a processor.
    """

    samples: Samples
    not_sent: int
    messages: dict[str, str]
    cpu_seconds: float
    busy: float
