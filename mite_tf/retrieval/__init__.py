"""Exact vector search."""

from mite_tf.retrieval.index import Hit, VectorIndex

__all__ = ["Hit", "VectorIndex"]
