"""Where the right item stands in a gallery, one of images and captions as a rule."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.scorings import Scored, image_first

_TEN = 10
_CUTOFFS = (1, 5, 10)
_BLOCK = 1024  # queries compared at once


def everything_gallery(
    scored: Scored, *, max_captions: int = 5000, seed: int = 0
) -> dict[str, float]:
    """Measures whether a caption finds its image among all images and all other captions.

    Other captions of the same image are neither right nor wrong: its rank does not count them.
    Likewise an image looks for the best of its captions, among all captions and other images.

    Args:
        scored: A split, see `Scoring.of`.
        max_captions: At most this many captions are queries, drawn at random.
        seed: Decides which.

    Returns:
        In percent: recall and NDCG, see `ranked`, as `caption_to_image_r1` and so on, and as
        `image_to_caption_r1` and so on; `images_in_ten`, images among the first ten results of a
        caption, captions of the same image included; and `fair`, the images in the gallery.

    Raises:
        MiteError: If there is only one image.

    Example:
        >>> from mite_tf.evaluation import scorings
        >>> rows = np.repeat(np.arange(4), 3)
        >>> found = everything_gallery(scorings()["cosine"].of(np.eye(4), np.eye(4)[rows], rows))
        >>> found["caption_to_image_r1"], found["fair"]
        (100.0, 26.6...)
    """
    images, captions, rows, joined = scored
    count = _more_than_one(scored)
    items = np.concatenate([images.items, captions.items])
    owner = np.concatenate([np.arange(count), rows])
    is_image = np.arange(len(items)) < count
    drawn = np.random.default_rng(seed).permutation(len(rows))[:max_captions]
    of_captions, of_images, shares = [], [], []
    for start in range(0, len(drawn), _BLOCK):
        block = drawn[start : start + _BLOCK]
        scores = captions.queries[block] @ items.T
        scores[np.arange(len(block)), count + block] = -np.inf  # a caption does not find itself
        right = scores[np.arange(len(block)), rows[block]]
        shares.append(images_in_ten(scores, is_image, joined=joined))
        scores[(owner == rows[block, None]) & ~is_image] = -np.inf
        of_captions.append(_ranks(scores, right, is_image, True, joined))
    with_captions = np.unique(rows)
    for start in range(0, len(with_captions), _BLOCK):
        block = with_captions[start : start + _BLOCK]
        scores = images.queries[block] @ items.T
        own = owner == block[:, None]
        right = np.where(own & ~is_image, scores, -np.inf).max(axis=1)
        scores[own & (is_image | (scores < right[:, None]))] = -np.inf
        of_images.append(_ranks(scores, right, is_image, False, joined))
    found = {"caption_to_image": of_captions, "image_to_caption": of_images}
    return {
        f"{kind}_{score}": value
        for kind, ranks in found.items()
        for score, value in ranked(np.concatenate(ranks)).items()
    } | {
        "images_in_ten": float(np.concatenate(shares).mean()),
        "fair": 100 * count / (len(items) - 1),  # the caption that asks is no result
    }


def recall(scored: Scored) -> dict[str, float]:
    """Measures recall among images alone, and among captions alone, as papers do.

    Returns:
        `image_to_text_r1`, `_r5` and `_r10`, the same of `text_to_image`, and `rsum`, their sum.
        They differ from those of `evaluate_embeddings` by rounding alone where scores are cosines.

    Raises:
        MiteError: If there is only one image.

    Example:
        >>> from mite_tf.evaluation import scorings
        >>> recall(scorings()["cosine"].of(np.eye(4), np.eye(4), np.arange(4)))["rsum"]
        600.0
    """
    images, captions, rows, _ = scored
    _more_than_one(scored)
    with_captions = np.unique(rows)
    best = np.full(len(images.items), -np.inf, np.float32)
    own = np.einsum("cd,cd->c", images.queries[rows], captions.items)
    np.maximum.at(best, rows, own)
    to_text, to_images = [], []
    for start in range(0, len(with_captions), _BLOCK):
        block = with_captions[start : start + _BLOCK]
        scores = images.queries[block] @ captions.items.T
        scores[rows == block[:, None]] = -np.inf
        to_text.append(1 + (scores >= best[block, None]).sum(axis=1))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        scores = captions.queries[start : start + _BLOCK] @ images.items.T
        right = scores[np.arange(len(block)), block]
        to_images.append((scores >= right[:, None]).sum(axis=1))
    found: dict[str, float] = {}
    for direction, ranks in (("image_to_text", to_text), ("text_to_image", to_images)):
        recalls = ranked(np.concatenate(ranks))
        found |= {f"{direction}_r{k}": recalls[f"r{k}"] for k in _CUTOFFS}
    return found | {"rsum": sum(found.values())}


def ranked(ranks: ArrayLike) -> dict[str, float]:
    """Returns recall at 1, 5 and 10 and NDCG@10, in percent, of queries with one right item.

    Example:
        >>> ranked([1, 3, 11, 6])
        {'r1': 25.0, 'r5': 50.0, 'r10': 75.0, 'ndcg10': 46.4...}
    """
    ranks = np.asarray(ranks)
    gains = np.where(ranks <= _TEN, 1 / np.log2(1.0 + ranks), 0.0)
    recalls = {f"r{k}": 100 * float((ranks <= k).mean()) for k in _CUTOFFS}
    return recalls | {"ndcg10": 100 * float(gains.mean())}


def joint_ranks(
    images: NDArray, captions: NDArray, right_is_image: ArrayLike, of_images: ArrayLike,
    of_captions: ArrayLike, *, joined: bool,
) -> NDArray:  # fmt: skip
    """Returns ranks of right items from how many images and captions score as high or higher.

    Args:
        images: Number of these images, `[Q, ...]`, the right item included where it is one.
        captions: Number of these captions, likewise.
        right_is_image: Whether the right item is an image.
        of_images: Number of images in the gallery.
        of_captions: Number of captions.
        joined: Whether both are lists that are joined by rank, as in `Scoring`.

    Example:
        The right item is a caption, first of its list. For the first query, an image leads.

        >>> joint_ranks(np.array([3, 3]), np.array([1, 1]), False, 9, 9, joined=False).tolist()
        [4, 4]
        >>> joint_ranks(np.array([3, 3]), np.array([1, 1]), False, 9, 9, joined=True).tolist()
        [2, 1]
    """
    if not joined:
        return images + captions
    # How many of the other list come before depends on the rank in the own list alone.
    leads = image_first(len(images)).reshape(-1, *[1] * (images.ndim - 1))
    own = np.where(right_is_image, images, captions)
    before = own - (right_is_image == leads)
    return own + np.minimum(before, np.where(right_is_image, of_captions, of_images))


def images_in_ten(
    scores: NDArray[np.float32], is_image: NDArray[np.bool_], *, joined: bool
) -> NDArray[np.floating]:
    """Returns the percentage of images among the first ten results, `[Q]`.

    Args:
        scores: Shape `[Q, N]`; what is no candidate has minus infinity.
        is_image: Which items are images, `[N]`; the others are captions.
        joined: As for `joint_ranks`.

    Example:
        >>> images_in_ten(np.float32([[3, 2, 1]]), np.array([True, False, False]), joined=False)
        array([33.3...], dtype=float32)
    """
    if joined:
        candidates = scores > -np.inf
        of_images, of_captions = (
            candidates[:, kind].sum(axis=1) for kind in (is_image, ~is_image)
        )  # fmt: skip
        ten = np.minimum(_TEN, of_images + of_captions)
        half = np.where(image_first(len(scores)), (ten + 1) // 2, ten // 2)
        return 100 * np.minimum(np.maximum(half, ten - of_captions), of_images) / ten
    ten = min(_TEN, scores.shape[1])
    last = np.partition(scores, scores.shape[1] - ten, axis=1)[:, scores.shape[1] - ten]
    found = (scores >= last[:, None]) @ is_image.astype(np.float32)
    return 100 * np.minimum(found, ten) / ten


def _ranks(
    scores: NDArray, right: NDArray, is_image: NDArray, right_is_image: bool, joined: bool
) -> NDArray:
    above = (scores >= right[:, None]).astype(np.float32)
    candidates = (scores > -np.inf).astype(np.float32) if joined else np.ones_like(scores[:1])
    return joint_ranks(
        above @ is_image,
        above @ ~is_image,
        right_is_image,
        candidates @ is_image,
        candidates @ ~is_image,
        joined=joined,
    )


def _more_than_one(scored: Scored) -> int:
    if len(scored.images.items) < 2:
        raise MiteError("With a single image there is no other one to find.")
    return len(scored.images.items)
