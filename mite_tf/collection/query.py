"""A sentence, a picture or both, to what an index holds that fits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.export.manifest import read_manifest
from mite_tf.retrieval.collection_index import CollectionIndex, Found
from mite_tf.retrieval.cosine import first_values
from mite_tf.retrieval.index_interface import By, Wanted, weighed
from mite_tf.serving.client import EmbeddingClient


class QueryEncoder:
    """Embeds queries by an export, through ONNX Runtime; it loads no TensorFlow.

    Several threads may use it at a time. Close it, or use it in a `with` block.

    Args:
        export: Export folder.
        threads: Threads of one computation; as many as there are cores by default.
        dimensions: How many of the first values of embeddings to take, see `embed_collection`.

    Raises:
        MissingPackage: If ONNX Runtime or tokenizers is not installed.
        MiteError: If the folder is no export.

    Example:
        >>> QueryEncoder("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: no such folder. Make an export with `mite export`.
    """

    def __init__(
        self, export: str | Path, *, threads: int = 0, dimensions: int | None = None
    ) -> None:
        self.name = str(export)
        manifest = read_manifest(export)
        self._size = dimensions or manifest.embedding_size
        self.space = manifest.first(self._size).space
        self._client = EmbeddingClient.local(export, threads=threads)

    @classmethod
    def of(cls, index: CollectionIndex, export: str | Path | None = None) -> Self:
        """Returns the encoder for an index: of the export that it remembers, or of another.

        Raises:
            MiteError: If it remembers none, or the export is of another space.
        """
        place = export or index.facts.export
        if not place:
            raise MiteError(
                f"{index.name}: does not know where the export lies that embeds queries; name it: "
                "export=... (--export ...)."
            )
        if export is None and not Path(place).exists():
            raise MiteError(
                f"{index.name}: was made for the export {place}, which is not there; name where it "
                "is: export=... (--export ...)."
            )
        nested = index.dimension in read_manifest(place).nested_sizes
        encoder = cls(place, dimensions=index.dimension if nested else None)
        index.require_space(encoder.space, encoder.name)
        return encoder

    def embed(
        self,
        text: str | None = None,
        image: Any = None,
        *,
        text_weight: float = 0.5,
    ) -> tuple[NDArray[np.float32], By]:
        """Embeds a text, a picture, or both as one query.

        Args:
            text: A text; what is beyond the length that the model takes is left out.
            image: A path, the bytes of an image file, an array `[H, W, 3]` or a PIL image.
            text_weight: Share of the text where both are given, 0 to 1.

        Returns:
            A float32 vector `[D]` of length 1, and the modality that weighs more.

        Raises:
            MiteError: If neither is given, the text is empty, or the picture cannot be read.

        Warns:
            UnknownWordsWarning: If no word of the text is known, so that results say nothing.
        """
        if text is None and image is None:
            raise MiteError("Search for a text, for an image (--image ...), or for both.")
        if not 0 <= text_weight <= 1:
            raise MiteError(f"text_weight must be 0 to 1; received {text_weight}.")
        if text is None:
            return self._image(image), "image"
        [of_text] = self.embed_texts([text])
        if image is None:
            return of_text, "text"
        return weighed(of_text, self._image(image), text_weight)

    def embed_texts(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Embeds texts, float32 `[N, D]`.

        Raises:
            MiteError: If one is empty.
        """
        texts = list(texts)
        if not all(map(str.strip, texts)):
            raise MiteError("The text to search for is empty: it holds no word.")
        return self._part(self._client.embed_text(texts))

    def _image(self, image: Any) -> NDArray[np.float32]:
        if isinstance(image, str | os.PathLike) and not Path(image).is_file():
            raise MiteError(f"{image}: no such image file.")
        try:
            return self._part(self._client.embed_images([image]))[0]
        except MiteError as error:
            named = isinstance(image, str | os.PathLike)
            label = f"images[0] ({os.fspath(image)})" if named else "images[0]"
            if not str(error).startswith(label):
                raise
            # Where in a request it stood is of no use to who gave one picture.
            told = str(error).removeprefix(label).rpartition("image_bytes[0]: ")[2]
            raise MiteError(f"{image if named else 'The image'}: {told.lstrip(': ')}") from error

    def _part(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return first_values(vectors, self._size)

    def close(self) -> None:
        """Frees the models."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def search_collection(
    index: CollectionIndex,
    encoder: QueryEncoder,
    *,
    text: str | None = None,
    image: Any = None,
    k: int = 10,
    modality: Wanted = "both",
    text_weight: float = 0.5,
    hub_correction: bool = True,
) -> list[Found]:
    """Finds what fits a text, a picture, or both.

    Args:
        index: Where to search.
        encoder: What embeds the query.
        text: A text.
        image: A picture, in any form that `QueryEncoder.embed` takes.
        k: Number of results.
        modality: Whether to find pictures, texts or both.
        text_weight: Share of the text where both are given, 0 to 1.
        hub_correction: Whether to take off the bias of what is near to everything.

    Returns:
        The results, best first.

    Raises:
        MiteError: As `QueryEncoder.embed` and `CollectionIndex.search`, or if the encoder is of
            another space than the index.

    Example:
        >>> search_collection(open_index("photos.index"), encoder, text="a dog")  # doctest: +SKIP
    """
    index.require_space(encoder.space, encoder.name)
    query, by = encoder.embed(text, image, text_weight=text_weight)
    [found] = index.search(
        query[None], by=by, k=k, modality=modality, hub_correction=hub_correction
    )
    return found
