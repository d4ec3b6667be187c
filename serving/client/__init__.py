"""Embeddings from a server that speaks TensorFlow Serving's protocol, or from an export folder."""

from mite_tf.serving.client.asynchronous import AsyncEmbeddingClient
from mite_tf.serving.client.blocking import EmbeddingClient
from mite_tf.serving.client.errors import EmbeddingError, MismatchError, MixedVersionsError
from mite_tf.serving.client.replies import ModelMetadata, Tensor, VersionStatus
from mite_tf.serving.client.tls import ClientTLS

__all__ = [
    "AsyncEmbeddingClient",
    "ClientTLS",
    "EmbeddingClient",
    "EmbeddingError",
    "MismatchError",
    "MixedVersionsError",
    "ModelMetadata",
    "Tensor",
    "VersionStatus",
]
