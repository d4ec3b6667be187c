"""Items that are near to everything, and how search takes that out of their scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.retrieval.cosine import similarity, unit_rows

# What a query or an item is.
Modality = Literal["image", "caption"]

_ITEMS = 1024  # compared with the bank at once


class HubCorrection:
    """Lowers the score of an item by how near it is to queries in general.

    Some items, the hubs, are near to many queries that they do not answer. Each item gets a bias,
    `weight` times its mean similarity to its `neighbours` nearest queries of a bank, and is ranked
    by its similarity to a query less its bias. The bank holds images and captions that were
    trained on; an item has one bias for each modality of the query, so that images and captions
    of one gallery compare.

    Args:
        images: Embeddings of images, real numbers of shape `[B, D]`; scaled to length 1 here.
        captions: Embeddings of captions, of shape `[C, D]`; likewise.
        weight: Factor of the mean similarity, 0 or more; 0 changes nothing.
        neighbours: Number of nearest queries, 1 or more; all of them where the bank has fewer.

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
    ) -> None:
        self.images = unit_rows(images, name="images of the bank", allow_zero=True)
        self.captions = unit_rows(captions, name="captions of the bank", allow_zero=True)
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
        units = unit_rows(items, name="items", allow_zero=True)
        bank = self.images if queries == "image" else self.captions
        if units.shape[1] != bank.shape[1]:
            raise MiteError(
                f"The bank holds vectors of dimension {bank.shape[1]}, the items have "
                f"{units.shape[1]}: were they made by the same model?"
            )
        if not self.weight:
            return np.zeros(len(units), np.float32)
        nearest = min(self.neighbours, len(bank))
        means = np.empty(len(units), np.float64)
        for start in range(0, len(units), _ITEMS):
            near = similarity(units[start : start + _ITEMS], bank)
            top = np.partition(near, len(bank) - nearest, axis=1)[:, len(bank) - nearest :]
            means[start : start + _ITEMS] = np.sort(top, axis=1).mean(axis=1, dtype=np.float64)
        return (self.weight * means).astype(np.float32)
