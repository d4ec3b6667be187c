"""What a client raises."""

from __future__ import annotations

from collections.abc import Sequence

from mite_tf.errors import MiteError


class EmbeddingError(MiteError):
    """A request failed for good: refused, out of time, or the server is not to be reached.

    Attributes:
        code: Name of the gRPC status code, such as `UNAVAILABLE` or `INVALID_ARGUMENT`.
        server_message: What the server, or gRPC itself, said; empty if nothing.
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", server_message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.server_message = server_message


class MixedVersionsError(EmbeddingError):
    """Embeddings of two versions of the models would have been put together."""

    def __init__(
        self, message: str, *, code: str = "FAILED_PRECONDITION", server_message: str = ""
    ) -> None:
        super().__init__(message, code=code, server_message=server_message)


class MixedVersionsWarning(UserWarning):
    """As `MixedVersionsError`, where a warning was asked for."""


class MismatchError(MiteError):
    """The server does not serve what a manifest describes.

    Attributes:
        differences: One sentence for each field that differs.
    """

    def __init__(self, message: str, differences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.differences = list(differences)


class Failure(Exception):
    """One attempt failed; whether that is the end is decided by `retry.py`.

    Attributes:
        code: Name of the gRPC status code.
        details: What the server, or gRPC itself, said.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
