"""Ways to score images and captions of one gallery: cosine, and what can be done after training.

All but the joined lists are inner products of vectors, so that any index can use them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.evaluation.embeddings import unit_embeddings
from mite_tf.retrieval import HubCorrection, Modality
from mite_tf.retrieval.cosine import unit_rows

# Cormack et al., SIGIR 2009; its value changes no order, since no item stands in both lists.
_RECIPROCAL = 60
_MODALITIES: tuple[Modality, Modality] = ("image", "caption")
# What tables call them.
SCORING_NAMES = {
    "cosine": "cosine",
    "means": "means removed",
    "variances": "means and variances",
    "covariances": "means and covariances",
    "z_scores": "z-scores",
    "reciprocal_rank": "two lists, reciprocal rank",
    "hubs": "hubs corrected",
}


class Vectors(NamedTuple):
    """Vectors of shape `[N, E]`; the score of an item is its inner product with a query."""

    queries: NDArray[np.float32]
    items: NDArray[np.float32]


class Scored(NamedTuple):
    """A split as a scoring sees it: vectors of its images and captions, each caption's image.

    `joined` says, as in `Scoring`, whether scores are ranked apart.
    """

    images: Vectors
    captions: Vectors
    caption_image: NDArray[np.int64]
    joined: bool


@dataclass(frozen=True)
class Scoring:
    """A way to score items of both modalities for queries of both.

    Attributes:
        vectors: Takes float32 embeddings of length 1, `[N, D]`, and their modality; returns
            `Vectors`.
        moves: Whether it only moves embeddings, so that their groups and neighbours change with
            them: queries and items are then the same vectors, of length 1.
        joined: Whether images and captions are ranked apart, and both lists joined by reciprocal
            rank. Of two items of equal rank, the image comes first for every second query.

    Example:
        >>> query, is_image = [[0.0, 1.0]], [True, False, False]
        >>> items = [[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]
        >>> for name in ("cosine", "reciprocal_rank"):
        ...     scores = scorings()[name].scores(query, [False], items, is_image)
        ...     print(name, np.argsort(-scores).tolist())
        cosine [[1, 2, 0]]
        reciprocal_rank [[0, 1, 2]]
    """

    vectors: Callable[[NDArray[np.float32], Modality], Vectors]
    moves: bool = False
    joined: bool = False

    def of(
        self, image_embeddings: ArrayLike, caption_embeddings: ArrayLike, caption_image: ArrayLike
    ) -> Scored:
        """Computes the vectors of a split, for the functions that measure it.

        It takes the arguments of `evaluate_embeddings` and raises its errors.
        """
        given = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
        images = self.vectors(given.images, "image")
        captions = self.vectors(given.captions, "caption")
        return Scored(images, captions, given.caption_image, self.joined)

    def scores(
        self,
        queries: ArrayLike,
        query_is_image: ArrayLike,
        items: ArrayLike,
        item_is_image: ArrayLike,
    ) -> NDArray[np.float32]:
        """Scores every item for every query.

        Args:
            queries: Embeddings of shape `[Q, D]`; scaled to length 1 here.
            query_is_image: Booleans of shape `[Q]`: images; the others are captions.
            items: Embeddings of shape `[N, D]`; likewise.
            item_is_image: Booleans of shape `[N]`; likewise.

        Returns:
            Float32 array of shape `[Q, N]`, the higher the better.

        Raises:
            MiteError: If a value is not finite.
        """
        kinds = np.asarray(item_is_image, bool)
        left = self._mixed(queries, query_is_image, "queries").queries
        right = self._mixed(items, kinds, "items").items
        found = left @ right.T
        return _reciprocal_ranks(found, kinds) if self.joined else found

    def _mixed(self, rows: ArrayLike, is_image: ArrayLike, name: str) -> Vectors:
        units = unit_rows(rows, name=name, allow_zero=True)
        kinds = np.asarray(is_image, bool)[:, None]
        images, captions = self.vectors(units, "image"), self.vectors(units, "caption")
        return Vectors(
            np.where(kinds, images.queries, captions.queries),
            np.where(kinds, images.items, captions.items),
        )


def scorings(bank: HubCorrection | None = None) -> dict[str, Scoring]:
    """Returns the ways to score a gallery of images and captions, by name.

    `cosine` and `reciprocal_rank`, two lists that are joined by rank, need nothing. The others
    take what they need from a bank of embeddings that were trained on:

    - `means`: the mean of each modality is removed (GR-CLIP, arXiv:2507.19054).
    - `variances`: then each dimension of both modalities gets one spread, that between the two.
    - `covariances`: then both modalities get one covariance, that between the two: the closed form
      of optimal transport between normal distributions. Covariances are shrunk (Ledoit and Wolf).
    - `z_scores`: the similarities of a query to images, and to captions, are standardised by mean
      and spread of those to the bank (as in arXiv:2511.22141).
    - `hubs`: the bias of hubs is taken off, with the weight and the neighbours of the bank.

    Args:
        bank: Embeddings that were trained on, from the same model. None, or one with fewer than
            two images or captions, leaves out what needs it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> bank = HubCorrection(rng.normal(size=(50, 4)), rng.normal(size=(90, 4)) + 1)
        >>> list(scorings(bank))
        ['cosine', 'means', 'variances', 'covariances', 'z_scores', 'reciprocal_rank', 'hubs']
        >>> moved = scorings(bank)["means"].vectors(bank.captions, "caption").items
        >>> bool(np.linalg.norm(moved.mean(axis=0)) < np.linalg.norm(bank.captions.mean(axis=0)))
        True
    """
    cosine = Scoring(lambda x, _: Vectors(x, x), moves=True)
    joined = Scoring(cosine.vectors, joined=True)
    if bank is None or min(len(bank.images), len(bank.captions)) < 2:
        return {"cosine": cosine, "reciprocal_rank": joined}
    rows = {"image": bank.images, "caption": bank.captions}
    mean = {m: x.mean(axis=0, dtype=np.float64) for m, x in rows.items()}
    spread = {m: x.std(axis=0, dtype=np.float64) for m, x in rows.items()}
    common = (spread["image"] + spread["caption"]) / 2
    scale = {m: np.diag(common / np.maximum(s, 1e-12)) for m, s in spread.items()}
    covariance = {m: np.cov(x.T) for m, x in rows.items()}

    def moving(maps: dict[str, NDArray] | None) -> Scoring:
        def vectors(units: NDArray[np.float32], modality: Modality) -> Vectors:
            moved = units - mean[modality]
            if maps is not None:
                moved = moved @ maps[modality]
            moved = unit_rows(moved, allow_zero=True)
            return Vectors(moved, moved)

        return Scoring(vectors, moves=True)

    def standardised(units: NDArray[np.float32], modality: Modality) -> Vectors:
        left, right = [], []
        for other in _MODALITIES:
            spread = np.einsum("nd,de,ne->n", units, covariance[other], units, optimize=True)
            inverse = 1 / np.sqrt(np.maximum(spread, 1e-12))[:, None]
            left += [units * inverse, -(units @ mean[other])[:, None] * inverse]
            here = float(other == modality)
            right += [units * here, np.full((len(units), 1), here)]
        return Vectors(*(np.hstack(each).astype(np.float32) for each in (left, right)))

    def corrected(units: NDArray[np.float32], modality: Modality) -> Vectors:
        asks = [np.full(len(units), -float(modality == other)) for other in _MODALITIES]
        biases = [bank.bias(units, queries=other) for other in _MODALITIES]
        columns = (np.stack(each, axis=1).astype(np.float32) for each in (asks, biases))
        return Vectors(*(np.hstack([units, each]) for each in columns))

    return {
        "cosine": cosine,
        "means": moving(None),
        "variances": moving(scale),
        "covariances": moving(_transports(rows)),
        "z_scores": Scoring(standardised),
        "reciprocal_rank": joined,
        "hubs": Scoring(corrected),
    }


def _transports(rows: dict[str, NDArray[np.float32]]) -> dict[str, NDArray]:
    """Returns the maps that take each modality half of the way to the other.

    Both then have the covariance of the barycentre of two normal distributions.
    """
    from sklearn.covariance import ledoit_wolf

    image, caption = (ledoit_wolf(rows[m].astype(np.float64))[0] for m in _MODALITIES)
    root = _power(image, 0.5)
    inverse = _power(image, -0.5)
    forth = inverse @ _power(root @ caption @ root, 0.5) @ inverse
    back = np.linalg.inv(forth)
    here = np.eye(len(forth))
    return {"image": (here + forth) / 2, "caption": (here + back) / 2}


def _power(matrix: NDArray, exponent: float) -> NDArray:
    values, axes = np.linalg.eigh(matrix)
    return (axes * np.maximum(values, 1e-12) ** exponent) @ axes.T


def _reciprocal_ranks(scores: NDArray, is_image: NDArray[np.bool_]) -> NDArray[np.float32]:
    ranks = np.empty(scores.shape, np.float64)
    for kind in (True, False):
        columns = np.flatnonzero(is_image == kind)
        order = np.argsort(-scores[:, columns], axis=1, kind="stable")
        places = np.empty_like(order)
        np.put_along_axis(places, order, np.arange(1, len(columns) + 1)[None], axis=1)
        ranks[:, columns] = places
    ranks[image_first(len(scores))[:, None] != is_image] += 0.5
    return (1 / (_RECIPROCAL + ranks)).astype(np.float32)


def image_first(queries: int) -> NDArray[np.bool_]:
    """Says for which of a number of queries the image comes first, of two items of equal rank."""
    return np.arange(queries) % 2 == 0
