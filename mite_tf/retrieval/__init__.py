"""Exact vector search, and the correction of hubs."""

from mite_tf.retrieval.hubs import HubCorrection, Modality
from mite_tf.retrieval.index import Hit, VectorIndex

__all__ = ["Hit", "HubCorrection", "Modality", "VectorIndex"]
