"""Items that are near to everything, and how search takes that out of their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.files import written_beside
from mite_tf.reading import open_arrays, reading
from mite_tf.retrieval.cosine import similarity, unit_rows

# What a query or an item is.
Modality = Literal["image", "caption"]

_ITEMS = 1024  # compared with the bank at once
_CENTRED = 512  # items of the bank whose mean bias is the centre of others
_HALF = 1e-3  # more than what float16 rounds away of a number up to 1


class HubCorrection:
    """Lowers the score of an item by how near it is to queries in general.

    Some items, the hubs, are near to many queries that they do not answer. Each item gets a bias,
    `weight` times its mean similarity to its `neighbours` nearest queries of a bank, and is ranked
    by its similarity to a query less its bias. The bank holds images and captions that were
    trained on; an item has one bias for each modality of the query, so that images and captions
    of one gallery compare.

    Args:
        images: Embeddings of images, real numbers of shape `[B, D]`; scaled to length 1 here, and
            rounded to float16, as they are saved.
        captions: Embeddings of captions, of shape `[C, D]`; likewise.
        weight: Factor of the mean similarity, 0 or more; 0 changes nothing.
        neighbours: Number of nearest queries, 1 or more; all of them where the bank has fewer.
        space: Name of what has made the embeddings, such as a hash of the encoders. It is saved
            with the bank, which is for embeddings of this space alone.

    Raises:
        MiteError: If the bank is empty, shapes do not fit together, or a value is out of range.

    Reference:
        Half-weight CSLS (Conneau et al., arXiv:1710.04087) on the side of the items, known as
        nearest neighbour normalization (Chowdhury et al., arXiv:2410.24114).

    Example:
        >>> hubs = HubCorrection([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]], weight=0.5, neighbours=1)
        >>> hubs.bias([[1.0, 0.0], [0.6, 0.8]], queries="caption").round(2).tolist()
        [0.5, 0.3...]
    """

    def __init__(
        self,
        images: ArrayLike,
        captions: ArrayLike,
        *,
        weight: float = 0.5,
        neighbours: int = 10,
        space: str = "",
    ) -> None:
        self.images = _halves(images, "images of the bank")
        self.captions = _halves(captions, "captions of the bank")
        if not (len(self.images) and len(self.captions)):
            raise MiteError("A bank needs images and captions, one of each at least.")
        if self.images.shape[1] != self.captions.shape[1]:
            raise MiteError(
                f"Images and captions of the bank must share one dimension; they have "
                f"{self.images.shape[1]} and {self.captions.shape[1]}."
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise MiteError(f"weight must be 0 or more; received {weight}.")
        if neighbours < 1:
            raise MiteError(f"neighbours must be 1 or more; received {neighbours}.")
        self.weight = float(weight)
        self.neighbours = int(neighbours)
        self.space = space

    def bias(self, items: ArrayLike, *, queries: Modality) -> NDArray[np.float32]:
        """Computes what is taken off the similarity of each item to a query.

        Args:
            items: Embeddings of images or captions, of shape `[N, D]`.
            queries: Modality of the queries that will be compared with them.

        Returns:
            Float32 array of shape `[N]`.

        Raises:
            MiteError: If the dimension differs from the bank's, or a value is not finite.
        """
        near = self.nearest(items, queries=queries, neighbours=self.neighbours)
        return (self.weight * near.mean(axis=1, dtype=np.float64)).astype(np.float32)

    def nearest(
        self, items: ArrayLike, *, queries: Modality, neighbours: int
    ) -> NDArray[np.float32]:
        """Computes the similarities of each item to its nearest queries of the bank.

        Returns:
            Float32 array of shape `[N, neighbours]`, the nearest first; narrower for a small bank.

        Raises:
            MiteError: As `bias`.
        """
        units = unit_rows(items, name="items", allow_zero=True)
        bank = self.images if queries == "image" else self.captions
        if units.shape[1] != bank.shape[1]:
            raise MiteError(
                f"The bank holds vectors of dimension {bank.shape[1]}, the items have "
                f"{units.shape[1]}: were they made by the same model?"
            )
        count = min(neighbours, len(bank))
        found = np.empty((len(units), count), np.float32)
        for start in range(0, len(units), _ITEMS):
            away = -similarity(units[start : start + _ITEMS], bank)
            near = np.partition(away, count - 1, axis=1)[:, :count]
            found[start : start + _ITEMS] = -np.sort(near, axis=1)
        return found

    def centre(self, *, queries: Modality) -> np.float64:
        """Computes the number at which biases are centred: their mean over the bank's other side.

        Args:
            queries: Modality of the queries.

        Example:
            >>> hubs = HubCorrection(np.eye(2), np.eye(2), weight=0.5, neighbours=2)
            >>> float(hubs.centre(queries="caption"))
            0.25
        """
        others = self.captions if queries == "image" else self.images
        return self.bias(others[:_CENTRED], queries=queries).mean(dtype=np.float64)

    def extended_items(self, items: ArrayLike, *, queries: Modality) -> NDArray[np.float32]:
        """Puts the bias of items into one more dimension, for any index by inner product.

        The inner product with `extended_queries` is the similarity less the bias, plus a constant:
        biases are centred, as a graph index needs, at one number for each modality of the queries,
        so that items which come later fit in.

        Args:
            items: Embeddings of images or captions, or of both, of shape `[N, D]`.
            queries: Modality of the queries; those of the other one need an index of their own.

        Returns:
            Float32 array of shape `[N, D + 1]`.

        Raises:
            MiteError: As `bias`.

        Example:
            >>> hubs = HubCorrection(np.eye(2), np.eye(2), weight=0.5, neighbours=2)
            >>> hubs.extended_items([[2.0, 0.0]], queries="caption").tolist()
            [[1.0, 0.0, 0.0]]
        """
        bias = self.bias(items, queries=queries) - self.centre(queries=queries)
        units = unit_rows(items, name="items", allow_zero=True)
        return np.column_stack([units, bias]).astype(np.float32)

    @staticmethod
    def extended_queries(queries: ArrayLike) -> NDArray[np.float32]:
        """Puts -1 behind the embeddings of queries, to compare with `extended_items`.

        Args:
            queries: Embeddings of shape `[Q, D]`.

        Returns:
            Float32 array of shape `[Q, D + 1]`.

        Raises:
            MiteError: If the shape is another one, or a value is not finite.

        Example:
            >>> HubCorrection.extended_queries([[0.0, 3.0]]).tolist()
            [[0.0, 1.0, -1.0]]
        """
        units = unit_rows(queries, name="queries", allow_zero=True)
        return np.column_stack([units, np.full(len(units), -1.0, np.float32)])

    def replace(self, **changed: Any) -> HubCorrection:
        """Returns the same bank with another `weight`, `neighbours` or `space`."""
        kept = {name: getattr(self, name) for name in ("weight", "neighbours", "space")}
        halves = self.images.astype(np.float16), self.captions.astype(np.float16)
        return HubCorrection(*halves, **kept | changed)

    def first(self, dimensions: int) -> HubCorrection:
        """Returns the correction for the first values of the same embeddings.

        Example:
            >>> HubCorrection(np.eye(3), np.eye(3)).first(2).images.shape
            (3, 2)
        """
        return HubCorrection(
            self.images[:, :dimensions],
            self.captions[:, :dimensions],
            weight=self.weight,
            neighbours=self.neighbours,
            space=self.space,
        )

    def save(self, path: str | Path) -> None:
        """Writes bank and constants to one `.npz` file, whole or not at all.

        It holds `images` and `captions` in float16, `weight`, `neighbours` and `space`.
        """
        with written_beside(path, "wb") as file:
            np.savez(
                file,
                images=self.images.astype(np.float16),
                captions=self.captions.astype(np.float16),
                weight=np.float64(self.weight),
                neighbours=np.int64(self.neighbours),
                space=np.array(self.space, np.str_),
            )

    @classmethod
    def load(cls, path: str | Path, *, advice: str = "Make it again.") -> HubCorrection:
        """Reads what `save` wrote; every bias is the same, bit for bit.

        `advice` says what to do where that cannot be.

        Raises:
            MiteError: If the file is missing, damaged, or no such bank.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "hubs.npz"
            >>> HubCorrection([[1.0, 0.0]], [[0.6, 0.8]], neighbours=5).save(path)
            >>> HubCorrection.load(path).neighbours
            5
        """
        with reading(path, "a readable bank of hub correction", advice):
            with Path(path).open("rb") as file, open_arrays(file) as arrays:
                names = ("images", "captions", "weight", "neighbours", "space")
                images, captions, weight, neighbours, space = (arrays[name] for name in names)
            kinds = "".join(each.dtype.kind for each in (images, captions, weight, neighbours))
            if kinds != "fffi" or weight.ndim or neighbours.ndim or space.dtype.kind != "U":
                raise ValueError("its arrays are of other types")
            try:
                return cls(
                    images,
                    captions,
                    weight=float(weight),
                    neighbours=int(neighbours),
                    space=str(space),
                )
            except MiteError as error:
                raise ValueError(str(error)) from error


def _halves(vectors: ArrayLike, name: str) -> NDArray[np.float32]:
    """Scales rows to length 1 and rounds them to float16; rows that were so before stay."""
    given = np.asarray(vectors)
    units = unit_rows(given, name=name, allow_zero=True)
    if given.dtype == np.float16 and np.allclose(given, units, rtol=0, atol=_HALF):
        return np.array(given, np.float32, order="C")
    return units.astype(np.float16).astype(np.float32)
