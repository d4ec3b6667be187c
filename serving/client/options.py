"""How a client asks: limits, patience, versions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, get_args

from mite_tf.errors import MiteError

MixedVersions = Literal["refuse", "warn", "allow"]
# What a gRPC server takes if nobody configured it, https://grpc.io/docs/guides/, 4 MiB.
MAX_MESSAGE_BYTES = 4 << 20
# `max_batch_size` of the batching file in an export; a server refuses a larger request.
ROWS_PER_REQUEST = 32


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a client asks; the arguments of `EmbeddingClient` of the same names.

    Raises:
        MiteError: If a value makes no sense.

    Example:
        >>> Options(in_flight=0)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: in_flight is 0; give at least 1.
    """

    timeout: float | None = 60.0
    attempt_timeout: float | None = None
    retries: int = 5
    wait_for_ready: bool = True
    rows_per_request: int = ROWS_PER_REQUEST
    max_message_bytes: int = MAX_MESSAGE_BYTES
    in_flight: int = 4
    version: int | None = None
    version_label: str | None = None
    mixed_versions: MixedVersions = "refuse"
    image_model: str = "image"
    text_model: str = "text"

    def __post_init__(self) -> None:
        for name, least in (
            ("retries", 0),
            ("rows_per_request", 1),
            ("in_flight", 1),
            ("max_message_bytes", 1024),
        ):
            if getattr(self, name) < least:
                raise MiteError(f"{name} is {getattr(self, name)}; give at least {least}.")
        for name in ("timeout", "attempt_timeout"):
            check_seconds(name, getattr(self, name))
        if self.version is not None and self.version_label is not None:
            raise MiteError("Give version or version_label, not both.")
        if self.mixed_versions not in get_args(MixedVersions):
            raise MiteError(
                f"mixed_versions is {self.mixed_versions!r}; "
                f"give one of {', '.join(get_args(MixedVersions))}."
            )
        if self.image_model == self.text_model:
            raise MiteError(f"Both models are named {self.text_model!r}; their names must differ.")


def check_seconds(name: str, seconds: float | None) -> None:
    """Refuses a time that is not above 0.

    Example:
        >>> check_seconds("timeout", 0)
        Traceback (most recent call last):
        mite_tf.errors.MiteError: timeout is 0; give seconds above 0, or None for no limit.
    """
    if seconds is not None and not seconds > 0:
        raise MiteError(f"{name} is {seconds}; give seconds above 0, or None for no limit.")


class Deadline:
    """The end of a call, counted from now.

    Args:
        timeout: Seconds; None for no limit.

    Example:
        >>> Deadline(None).left() is None, 9 < Deadline(10).left() <= 10
        (True, True)
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Returns the seconds left, 0 or less when time is up; None for no limit."""
        return None if self._end is None else self._end - time.monotonic()
