"""Embeddings from a server that speaks TensorFlow Serving's protocol, or from an export folder."""

from mite_tf.extras import from_extra

with from_extra("client", "mite_tf.serving.client"):
    from mite_tf.serving.client.async_client import AsyncEmbeddingClient
    from mite_tf.serving.client.client import EmbeddingClient
    from mite_tf.serving.client.connection import ClientTLS
    from mite_tf.serving.client.protocol import (
        EmbeddingError,
        MixedVersionsError,
        ModelMetadata,
        Tensor,
        VersionStatus,
    )

__all__ = [
    "AsyncEmbeddingClient",
    "ClientTLS",
    "EmbeddingClient",
    "EmbeddingError",
    "MixedVersionsError",
    "ModelMetadata",
    "Tensor",
    "VersionStatus",
]
