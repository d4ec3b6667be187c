"""What a client raises."""

from __future__ import annotations

from mite_tf.errors import MiteError

CLOSED = "This client is closed. Make a new one."


class EmbeddingError(MiteError):
    """A request failed for good: refused, out of time, or the server cannot be reached.

    Attributes:
        code: Name of the gRPC status code, such as `UNAVAILABLE` or `INVALID_ARGUMENT`.
        server_message: What the server, or gRPC itself, said; empty if nothing.

    Example:
        >>> EmbeddingError("Model 'text': no such version", code="NOT_FOUND").code
        'NOT_FOUND'
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", server_message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.server_message = server_message

    def retold(self, message: str) -> EmbeddingError:
        """Returns the same error with another message."""
        return EmbeddingError(message, code=self.code, server_message=self.server_message)


# no example: raised where two versions meet
class MixedVersionsError(EmbeddingError):
    """Embeddings of two versions of the models would have been put together."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="FAILED_PRECONDITION")


# no example: given where two versions meet
class MixedVersionsWarning(UserWarning):
    """`MixedVersionsError` of a client that was told to warn."""


# no example: it never leaves the client
class Failure(Exception):
    """One attempt failed; whether it is repeated is decided in `delivery.py`.

    Attributes:
        code: Name of the gRPC status code.
        details: What the server, or gRPC itself, said.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
