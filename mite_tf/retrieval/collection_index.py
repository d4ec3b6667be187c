"""The index of a collection at a path or an address: in a folder by FAISS, or in Milvus."""

from __future__ import annotations

from pathlib import Path

from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.index_interface import CollectionIndex, Found, Stored
from mite_tf.retrieval.milvus_index import MilvusIndex, is_milvus


def open_index(path_or_uri: str | Path) -> CollectionIndex:
    """Opens what `mite index` has made.

    Args:
        path_or_uri: A folder; or one that ends in `.db`, or an address as `http://host:19530`, of
            Milvus.

    Raises:
        MissingPackage: If a package is not installed.
        MiteError: If it is no index, not complete or damaged.

    Example:
        >>> open_index("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an index with `mite index`.
    """
    return MilvusIndex(path_or_uri) if is_milvus(path_or_uri) else FaissIndex(path_or_uri)


__all__ = ["CollectionIndex", "Found", "Stored", "open_index"]
