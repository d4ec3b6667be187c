"""Embeddings from a server that speaks TensorFlow Serving's protocol, or from an export folder."""

from mite_tf.serving.client.async_client import AsyncEmbeddingClient
from mite_tf.serving.client.client import EmbeddingClient
from mite_tf.serving.client.errors import EmbeddingError, MixedVersionsError
from mite_tf.serving.client.questions import ModelMetadata, Tensor, VersionStatus
from mite_tf.serving.client.tls import ClientTLS

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
