"""Serving of exported encoders: a client, a local server, a load test.

Example:
    >>> import mite_tf.serving
    >>> "EmbeddingClient" in dir(mite_tf.serving)
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mite_tf.extras import from_extra

if TYPE_CHECKING:
    from mite_tf.export.pixels import pixels_of
    from mite_tf.serving.client import (
        AsyncEmbeddingClient,
        ClientTLS,
        EmbeddingClient,
        EmbeddingError,
        MixedVersionsError,
    )
    from mite_tf.serving.loadtest import load_test
    from mite_tf.serving.server import serve, start_server
    from mite_tf.serving.verify import verify_server

_HOMES = {
    "AsyncEmbeddingClient": "mite_tf.serving.client",
    "ClientTLS": "mite_tf.serving.client",
    "EmbeddingClient": "mite_tf.serving.client",
    "EmbeddingError": "mite_tf.serving.client",
    "MixedVersionsError": "mite_tf.serving.client",
    "load_test": "mite_tf.serving.loadtest",
    "pixels_of": "mite_tf.export.pixels",
    "serve": "mite_tf.serving.server",
    "start_server": "mite_tf.serving.server",
    "verify_server": "mite_tf.serving.verify",
}

_EXTRAS = {"load_test": "serving", "serve": "serving", "start_server": "serving"}

__all__ = [
    "AsyncEmbeddingClient",
    "ClientTLS",
    "EmbeddingClient",
    "EmbeddingError",
    "MixedVersionsError",
    "load_test",
    "pixels_of",
    "serve",
    "start_server",
    "verify_server",
]


if not TYPE_CHECKING:  # a name that is not listed is an error for a type checker

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            with from_extra(_EXTRAS.get(name, "client"), f"mite_tf.serving.{name}"):
                return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'mite_tf.serving' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
