"""Groups, duplicates and neighbours among images and captions taken together."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import (
    Embeddings,
    draw_captions,
    one_caption_each,
    unit_embeddings,
)

_NEAREST = 10
_LEVELS = 127  # of int8, to each side
_PAIRED = 500  # images whose pairs are compared: with captions 1.1 million


def grouping(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    groups: int = 40,
    max_images: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Measures whether groups and duplicates go by content rather than by modality.

    Images and one caption of each are grouped together, by k-means. Duplicates are captions of one
    image, and an image and its caption: one threshold on cosine has to tell them from all other
    pairs, be they of two images, of two captions or of one of each.

    Args:
        image_embeddings: As for `evaluate_embeddings`.
        caption_embeddings: As for `evaluate_embeddings`.
        caption_image: As for `evaluate_embeddings`.
        groups: Number of groups; at most half as many as images.
        max_images: At most this many images are used, drawn at random.
        seed: Decides the draws and where k-means begins.

    Returns:
        In percent: `v_measure`, how well groups keep an image with its caption and apart from
        others (low even if good, since a group holds many pairs); `together`, the pairs of which
        both are in one group; `modality`, the normalised mutual information of groups with the
        modality, 0 where they have nothing to do with it; `duplicates_f1`, F1 of the best
        threshold for all pairs; and `duplicates_f1_apart`, that with the best one for each kind.

    Raises:
        MiteError: If fewer than four images have captions, or the embeddings cannot be used.

    Reference:
        Rosenberg and Hirschberg, V-Measure, EMNLP 2007.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(60, 8))
        >>> found = grouping(images, -images, np.arange(60), groups=2)
        >>> found["together"] < 20, found["duplicates_f1"] < 10
        (True, True)
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    first = draw_captions(embeddings, max_images=max_images, seed=seed)
    if len(first) < 4:
        raise MiteError(f"Grouping needs four images with captions; there are {len(first)}.")
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score, v_measure_score
    from threadpoolctl import threadpool_limits

    owners = embeddings.caption_image[first]
    rows = np.concatenate([embeddings.images[owners], embeddings.captions[first]])
    modality = np.repeat([0, 1], len(first))
    means = KMeans(min(groups, len(first) // 2), n_init=1, random_state=seed)
    with threadpool_limits(limits=1):  # so that its sums have one order
        group = means.fit_predict(rows)
    one, apart = _duplicates(embeddings, first[:_PAIRED], seed)
    return {
        "v_measure": 100 * float(v_measure_score(np.tile(owners, 2), group)),
        "together": 100 * float(np.mean(group[: len(first)] == group[len(first) :])),
        "modality": 100 * float(normalized_mutual_info_score(modality, group)),
        "duplicates_f1": 100 * one,
        "duplicates_f1_apart": 100 * apart,
    }


def stability(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    noise: float = 0.1,
    max_images: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Measures how many nearest neighbours change where vectors are made small, or disturbed.

    Neighbours are the ten nearest of each image and of each caption among images and one caption
    of each. All vectors change alike, queries too.

    Args:
        image_embeddings: As for `evaluate_embeddings`.
        caption_embeddings: As for `evaluate_embeddings`.
        caption_image: As for `evaluate_embeddings`.
        noise: Length of the noise, where embeddings have length 1.
        max_images: At most this many images are used, drawn at random.
        seed: Decides the draws and the noise.

    Returns:
        In percent, neighbours that are no longer among the ten: `int8`, with each vector rounded
        to 127 levels to each side; `one_bit`, with signs alone; `noise`, with normal noise.

    Raises:
        MiteError: If no two images have captions, or the embeddings cannot be used.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(200, 32))
        >>> found = stability(rows, rows, np.arange(200))
        >>> found["int8"] < found["noise"] < found["one_bit"]
        True
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    rows = np.concatenate(one_caption_each(embeddings, max_images=max_images, seed=seed))
    if len(rows) < 4:
        raise MiteError("Neighbours need two images with captions.")
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12)
    random = np.random.default_rng(seed).normal(size=rows.shape).astype(np.float32)
    changed = {
        "int8": np.rint(rows / largest * _LEVELS) * largest,
        "one_bit": np.where(rows < 0, np.float32(-1), np.float32(1)),
        "noise": rows + noise * random / np.sqrt(rows.shape[1], dtype=np.float32),
    }
    before = _nearest(rows)
    return {
        name: 100 * (1 - float(np.sum(before & _nearest(each)) / before.sum()))
        for name, each in changed.items()
    }


def _nearest(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Says which rows are among the ten nearest of each, `[N, N]`."""
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    scores = units @ units.T
    np.fill_diagonal(scores, -np.inf)
    nearest = min(_NEAREST, len(rows) - 1)
    first = np.argpartition(-scores, nearest - 1, axis=1)[:, :nearest]
    found = np.zeros(scores.shape, bool)
    np.put_along_axis(found, first, True, axis=1)
    return found


def _duplicates(embeddings: Embeddings, first: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """Returns F1 of the best threshold for all pairs, and of the best one for each kind of pair.

    Pairs are those among images, `first` of their captions, and another caption where there is one.
    """
    of_caption = embeddings.caption_image
    shuffled = np.random.default_rng(seed).permutation(len(of_caption))
    others = shuffled[np.isin(of_caption[shuffled], of_caption[first]) & ~np.isin(shuffled, first)]
    second = others[np.unique(of_caption[others], return_index=True)[1]]
    captions = np.concatenate([first, second])
    rows = np.concatenate([embeddings.images[of_caption[first]], embeddings.captions[captions]])
    owner = np.concatenate([of_caption[first], of_caption[captions]])
    one, other = np.triu_indices(len(rows), 1)
    scores = (rows @ rows.T)[one, other]
    same = owner[one] == owner[other]
    kinds = (one >= len(first)).astype(int) + (other >= len(first))
    counts = [_best_threshold(scores[kinds == kind], same[kinds == kind]) for kind in range(3)]
    right, said = np.sum(counts, axis=0)
    all_right, all_said = _best_threshold(scores, same)
    positive = np.count_nonzero(same)
    return float(2 * all_right / (all_said + positive)), float(2 * right / (said + positive))


def _best_threshold(scores: NDArray[np.float32], same: NDArray[np.bool_]) -> tuple[int, int]:
    """Returns how many pairs the threshold of the best F1 calls the same, rightly and at all."""
    if not same.any():
        return 0, 0
    right = np.cumsum(same[np.argsort(-scores, kind="stable")])
    f1 = 2 * right / (np.arange(1, len(right) + 1) + right[-1])
    best = int(f1.argmax())
    return int(right[best]), best + 1
