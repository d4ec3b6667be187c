"""What every index of a collection answers, wherever its vectors lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.retrieval.cosine import unit_rows
from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder

By: TypeAlias = Literal["image", "text"]
Wanted: TypeAlias = Literal["image", "text", "both"]
# What rows each wish finds; one vector of a picture and its text shows a picture.
_WANTED = {"image": ("image", "fused"), "text": ("text",), "both": ("image", "text", "fused")}
# Columns of the biases in a table of them; the third is for plain cosine.
BY = ("image", "text")
_NEAR = 1e-6


def weighed(
    text: NDArray[np.float32], image: NDArray[np.float32], text_weight: float
) -> tuple[NDArray[np.float32], By]:
    """Joins a text and a picture into one query.

    Args:
        text: Embedding of the text, `[D]`.
        image: Embedding of the picture, `[D]`.
        text_weight: Share of the text, 0 to 1.

    Returns:
        A float32 vector `[D]` of length 1, and the modality that weighs more.

    Raises:
        MiteError: If they cancel each other out.

    Example:
        >>> weighed(np.float32([1, 0]), np.float32([0, 1]), 0.0)
        (array([0., 1.], dtype=float32), 'image')
    """
    both = text_weight * text + (1 - text_weight) * image
    length = float(np.linalg.norm(both))
    if not length:
        raise MiteError("Text and image are opposite to each other; search for one of them.")
    return (both / length).astype(np.float32), "text" if text_weight >= 0.5 else "image"


class Found(NamedTuple):
    """One result of a search.

    The score is what results are ranked by: the cosine similarity, less the bias of the row from
    the mean bias where hubs are corrected; so it stays in the range of a cosine.
    """

    id: str
    modality: str
    path: str | None
    text: str | None
    score: float
    cosine: float


class Stored(NamedTuple):
    """One row of an index with its vector, float32 `[D]`, to search onward from."""

    id: str
    modality: str
    path: str | None
    text: str | None
    vector: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class IndexFacts:
    """What an index says of itself.

    Attributes:
        space: Hash of all that decides an embedding; only those of equal spaces compare.
        dimension: Size of the embeddings.
        model: Name and version of the export that has made them.
        centres: Mean bias of hub correction by modality of the query; None without a bank.
        export: Where the export lies that embeds queries, if it was told.
        kind: `auto`, `flat`, `hnsw` or `ivfpq`.
        vectors: `float32`, `float16`, `int8` or `binary`: how vectors are searched.
    """

    space: str
    dimension: int
    model: str
    centres: Mapping[str, float] | None = None
    export: str | None = None
    kind: str = "auto"
    vectors: str = "float32"

    @classmethod
    def of(cls, folder: EmbeddingFolder, **others: Any) -> IndexFacts:
        """Returns the facts for an index of these embeddings.

        Example:
            >>> from pathlib import Path
            >>> folder = EmbeddingFolder(
            ...     path=Path("pictures"), space="ab", dimension=2, dtype="float32", model="first 1"
            ... )
            >>> IndexFacts.of(folder, kind="flat").kind
            'flat'
        """
        shared = ("space", "dimension", "model", "centres")
        return cls(**{name: getattr(folder, name) for name in shared}, **others)

    def values(self) -> dict[str, Any]:
        """Returns the facts as JSON holds them."""
        return asdict(self) | {"centres": self.centres and dict(self.centres)}


class CollectionIndex(ABC):
    """Vectors of pictures and texts in one ranking, with what belongs to each.

    Attributes:
        name: Path or address, for messages.
        facts: What it says of itself.
    """

    name: str
    facts: IndexFacts

    @property
    def space(self) -> str:
        """Hash of all that decides an embedding."""
        return self.facts.space

    @property
    def dimension(self) -> int:
        """Size of the embeddings."""
        return self.facts.dimension

    @abstractmethod
    def __len__(self) -> int: ...

    def search(
        self,
        queries: ArrayLike,
        *,
        by: By,
        k: int = 10,
        modality: Wanted = "both",
        hub_correction: bool = True,
    ) -> list[list[Found]]:
        """Finds the best `k` rows for every query, best first.

        Args:
            queries: Real numbers of shape `[Q, D]`, of the space of the index.
            by: Modality of the queries, which decides the bias of a row.
            k: Number of results; there are fewer where there are fewer rows.
            modality: Whether to find pictures, texts or both. A vector of a picture and its text
                counts as a picture.
            hub_correction: Whether to take off the bias of rows that are near to everything; an
                index without a bank has none.

        Raises:
            MiteError: If an argument is out of range, or a query is of another dimension, all
                zeros or not finite.
        """
        units = unit_rows(queries, name="queries")
        if units.shape[1] != self.dimension:
            raise MiteError(
                f"{self.name}: holds vectors of dimension {self.dimension}, the queries have "
                f"{units.shape[1]}: were they made by the same model?"
            )
        if k < 1:
            raise MiteError(f"k must be at least 1; received {k}.")
        if by not in BY:
            raise MiteError(f"by must be image or text; received {by!r}.")
        corrected = hub_correction and self.facts.centres is not None
        return self._search(units, BY.index(by) if corrected else None, k, wanted(modality))

    @abstractmethod
    def _search(
        self, units: NDArray[np.float32], bias: int | None, k: int, modalities: Sequence[str]
    ) -> list[list[Found]]:
        """As `search`, of checked arguments; `bias` is the column to take off."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Stored]:
        """Returns rows by their ids, in the order of these.

        Raises:
            MiteError: If an id is not there.
        """

    @abstractmethod
    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        """Yields all rows, at most so many at once."""

    @abstractmethod
    def add(self, folder: EmbeddingFolder, *, quiet: bool = False) -> None:
        """Adds rows; those whose ids are there take the place of the old ones.

        Raises:
            MiteError: If the embeddings are of another space, or of another bank.
        """

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> int:
        """Takes rows away; returns how many of the ids were there."""

    @abstractmethod
    def compact(self, *, quiet: bool = False) -> None:
        """Gives back the room of rows that are gone, and makes search as fast as at first."""

    def measurements(self) -> list[Mapping[str, Any]]:
        """Returns recall and latency as they were measured when it was made, if they were."""
        return []

    def require_space(self, space: str, name: str) -> None:
        """Refuses what was made by another model.

        Raises:
            MiteError: If it was; `name` says what, as in an error.
        """
        if space != self.space:
            raise MiteError(
                f"{self.name}: holds embeddings of {self.facts.model}, and {name} is of another "
                "model, whose vectors must not be compared with them. Name the export that the "
                "index was made with, or embed and index again."
            )

    def _require_same(self, folder: EmbeddingFolder) -> None:
        self.require_space(folder.space, str(folder.path))
        mine, theirs = self.facts.centres, folder.centres
        if mine is not None and (
            theirs is None or any(abs(mine[by] - theirs[by]) > _NEAR for by in BY)
        ):
            raise MiteError(
                f"{folder.path}: its hub correction is of another bank than that of {self.name}. "
                "Embed again with the export that the index was made with."
            )

    def _not_there(self, name: str) -> MiteError:
        return MiteError(f"{self.name}: holds no row of the id {name!r}.")


def wanted(modality: str) -> tuple[str, ...]:
    """Returns the modalities of rows that answer a wish.

    Raises:
        MiteError: If it is none of `image`, `text` and `both`.

    Example:
        >>> wanted("image")
        ('image', 'fused')
    """
    if modality not in _WANTED:
        raise MiteError(f"modality must be image, text or both; received {modality!r}.")
    return _WANTED[modality]


def centred_biases(
    count: int,
    biases: Sequence[NDArray[np.float32] | None],
    centres: Mapping[str, float] | None,
) -> NDArray[np.float32]:
    """Returns the biases of rows by image and by text less their means, float32 `[N, 2]`.

    Zeros, where there is no bank.

    Example:
        >>> biases = np.float32([0.5]), np.float32([0.25])
        >>> centred_biases(1, biases, {"image": 0.25, "text": 0.25}).tolist()
        [[0.25, 0.0]]
    """
    image, text = biases
    if centres is None or image is None or text is None:
        return np.zeros((count, len(BY)), np.float32)
    return np.column_stack([image, text]) - np.array([centres[by] for by in BY], np.float32)


def extended_queries(units: NDArray[np.float32], bias: int | None) -> NDArray[np.float32]:
    """Puts two numbers behind queries, for rows behind which their biases by image and text stand.

    One index then serves queries of both modalities, and plain cosine: the inner product is the
    similarity less the bias of the column `bias`, or of none.

    Example:
        >>> extended_queries(np.array([[0.6, 0.8]], np.float32), 1).round(1).tolist()
        [[0.6..., 0.8..., 0.0, -1.0]]
    """
    extended = np.zeros((len(units), units.shape[1] + len(BY)), np.float32)
    extended[:, : units.shape[1]] = units
    if bias is not None:
        extended[:, units.shape[1] + bias] = -1.0
    return extended
