"""A folder of embeddings to an index, or into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest, read_manifest
from mite_tf.retrieval.collection_index import CollectionIndex, open_index
from mite_tf.retrieval.embedding_files import EmbeddingFolder
from mite_tf.retrieval.faiss_index import FaissIndex
from mite_tf.retrieval.milvus_index import MilvusIndex, is_milvus


def index_embeddings(
    embeddings: str | Path,
    place: str | Path,
    *,
    kind: Literal["auto", "flat", "hnsw", "ivfpq"] = "auto",
    vectors: Literal["float32", "float16", "int8", "binary"] = "float32",
    export: str | Path | None = None,
    quiet: bool = False,
) -> CollectionIndex:
    """Builds an index of embeddings, whole or not at all.

    Args:
        embeddings: What `mite embed` has written.
        place: Folder to make; or, for Milvus, a folder that ends in `.db` or an address.
        kind: How vectors are searched: one after another, by a graph, or by codes; `auto` takes
            the first up to 100,000 rows of a modality, and a graph above.
        vectors: What is searched; Milvus takes `float32`.
        export: The export that embeds queries, which the index remembers; that which has made the
            embeddings by default.
        quiet: Whether to show no progress.

    Raises:
        MissingPackage: If a package is not installed.
        MiteError: If the embeddings cannot be used or are of another model than the export, or
            there is something at the place.

    Example:
        >>> index_embeddings("nowhere", "index")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make embeddings with `mite embed`.
    """
    folder = EmbeddingFolder.read(embeddings)
    if export is None:
        export = folder.export or None
    else:
        if not _made(read_manifest(export), folder):
            raise MiteError(
                f"{export}: is of another model than {folder.path}, which {folder.model} has made. "
                "Name that export."
            )
        export = Path(export).resolve()
    shared: dict[str, Any] = {"kind": kind, "export": export, "quiet": quiet}
    if not is_milvus(place):
        return FaissIndex.create(place, folder, vectors=vectors, **shared)
    if vectors != "float32":
        raise MiteError(f"{place}: vectors of {vectors} are for FAISS; Milvus takes float32.")
    return MilvusIndex.create(place, folder, **shared)


def _made(manifest: Manifest, folder: EmbeddingFolder) -> bool:
    """Says whether an export has made these embeddings, whole or the first values of them."""
    try:
        return manifest.first(folder.dimension).space == folder.space
    except MiteError:
        return False


def add_embeddings(
    index: str | Path, embeddings: str | Path, *, quiet: bool = False
) -> CollectionIndex:
    """Adds embeddings to an index; rows of ids that it holds are replaced.

    Raises:
        MiteError: If either cannot be used, or they are of two models.

    Example:
        >>> add_embeddings("nowhere", "embeddings")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an index with `mite index`.
    """
    opened = open_index(index)
    opened.add(EmbeddingFolder.read(embeddings), quiet=quiet)
    return opened
