"""One gallery in which each thing is there as a picture or as a text."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.galleries import images_in_ten, joint_ranks, ranked
from mite_tf.evaluation.scorings import Scored

# Of images; the ends show what the curve between them falls short of.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
# Modality of the query, and that of the slot that answers it.
KINDS = ("caption_to_image", "caption_to_caption", "image_to_caption")
_BLOCK = 1024  # queries compared at once


def mixed_gallery(
    scored: Scored,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = 20,
    max_images: int = 2000,
    seed: int = 0,
) -> dict[float, dict[str, float]]:
    """Measures how well queries find their slot in a gallery of images and captions.

    Each image of the split is a slot. A draw shows it either as the image, with the probability
    of `shares`, or as one of its captions. Another of its captions looks for the slot, and where
    the slot is a caption, the image does too. Draws depend on `caption_image` and the seed alone,
    so all models are measured on the same ones, and what is an image at some share is one at
    every larger share. An image without captions is always shown.

    Args:
        scored: A split, see `Scoring.of`.
        shares: Shares of images.
        draws: Number of galleries for each share.
        max_images: At most this many images are slots, drawn at random; time grows with its square.
        seed: Decides every random draw.

    Returns:
        Measures by share, in percent. `KIND_r1`, `_r5`, `_r10` and `_ndcg10` are recall and NDCG
        of the kinds `caption_to_image` (a caption asks, its slot is the image),
        `caption_to_caption` and `image_to_caption`; of `mean`, their mean; and of `caption`, all
        captions that ask. A kind without queries is not there. `images_in_ten` is the percentage
        of images among the first ten results of captions less that in the gallery.

    Raises:
        MiteError: If there are not two images with two captions each.

    Example:
        >>> from mite_tf.evaluation import scorings
        >>> rng = np.random.default_rng(0)
        >>> images, rows = rng.normal(size=(50, 16)), np.repeat(np.arange(50), 2)
        >>> captions = images[rows] + rng.normal(size=(100, 16))
        >>> found = mixed_gallery(scorings()["cosine"].of(images, captions, rows), draws=3)
        >>> found[0.5]["caption_to_image_r1"] > found[0.5]["caption_to_caption_r1"]
        True
        >>> "caption_to_image_r1" in found[0.0]  # without images no caption looks for one
        False
    """
    images, captions, rows, joined = scored
    random = np.random.default_rng(seed)
    slots = np.sort(random.permutation(len(images.items))[:max_images])
    counts = np.bincount(rows, minlength=len(images.items))[slots]
    if np.count_nonzero(counts > 1) < 2:
        raise MiteError(
            "A mixed gallery needs two images with two captions each: one is shown, and another "
            "one looks for it."
        )
    by_image = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[by_image], slots)
    # Slots of all draws, by share: ranks, what a slot is, which queries look for it.
    collected: dict[str, list[NDArray]] = {}
    for _ in range(draws):
        shown, asking = (by_image[each] for each in _two_captions(random, first, counts, len(rows)))
        coins = np.where(counts > 0, random.random(len(slots)), -1.0)
        is_image = coins[:, None] < np.asarray(shares)
        gallery = images.items[slots], captions.items[shown]
        for start in range(0, len(slots), _BLOCK):
            block = slice(start, start + _BLOCK)
            by_captions = [captions.queries[asking[block]] @ each.T for each in gallery]
            by_images = [images.queries[slots[block]] @ each.T for each in gallery]
            found = {
                "caption": _ranks(by_captions, is_image, start, joined=joined),
                "image": _ranks(by_images, is_image, start, joined=joined, images=False),
                "is_image": is_image[block],
                "asks": counts[block, None] > np.where(is_image[block], 0, 1),
                "answers": (counts[block, None] > 0) & ~is_image[block],
                "images_in_ten": _images_in_ten(by_captions, is_image, joined=joined),
            }
            for name, each in found.items():
                collected.setdefault(name, []).append(each)
    columns = {name: np.concatenate(each) for name, each in collected.items()}
    return {
        share: _measures({name: each[:, place] for name, each in columns.items()})
        for place, share in enumerate(shares)
    }


def sag(curve: Mapping[float, float]) -> float:
    """Computes how far a curve over the share of images sags below the line between its ends.

    Example:
        >>> sag({0.0: 60.0, 0.25: 40.0, 0.5: 41.0, 1.0: 40.0})
        15.0
    """
    shares = sorted(curve)
    ends = [shares[0], shares[-1]]
    line = np.interp(shares, ends, [curve[share] for share in ends])
    return float(max(line - [curve[share] for share in shares]))


def _two_captions(
    random: np.random.Generator, first: NDArray[np.int64], counts: NDArray[np.int64], captions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws two captions of each image, different where there are two; any where there is none."""
    one = np.floor(random.random(len(counts)) * counts).astype(np.int64)
    other = one + 1 + np.floor(random.random(len(counts)) * (counts - 1)).astype(np.int64)
    shown, asking = (
        np.minimum(first + each % np.maximum(counts, 1), captions - 1) for each in (one, other)
    )
    return shown, asking


def _ranks(
    scores: Sequence[NDArray],
    is_image: NDArray[np.bool_],
    start: int,
    *,
    joined: bool,
    images: bool = True,
) -> NDArray[np.int64]:
    """Ranks the slots from `start` on, `[Q, shares]`, by scores of all images and all captions.

    `images` says whether a slot may be one; otherwise all are ranked as captions.
    """
    kinds = [is_image.astype(np.float32), (~is_image).astype(np.float32)]
    here = np.arange(len(scores[0]))
    right = is_image[start : start + len(here)] & images

    def reached(slots: NDArray) -> list[NDArray]:
        """How many images and captions of each gallery score as high as the slots or higher."""
        own = slots[here, start + here][:, None]
        pairs = zip(scores, kinds, strict=True)
        return [(each >= own).astype(np.float32) @ kind for each, kind in pairs]

    above_images, above_captions = reached(scores[1])
    if images:
        as_images = reached(scores[0])
        above_images = np.where(right, as_images[0], above_images)
        above_captions = np.where(right, as_images[1], above_captions)
    of_images, of_captions = (each.sum(axis=0) for each in kinds)
    ranks = joint_ranks(above_images, above_captions, right, of_images, of_captions, joined=joined)
    return ranks.astype(np.int64)


def _images_in_ten(
    scores: Sequence[NDArray], is_image: NDArray[np.bool_], *, joined: bool
) -> NDArray[np.float64]:
    """Returns the percentage of images among the first ten, less that in the gallery."""
    found = []
    for shown in is_image.T:
        if shown.all() or not shown.any():
            found.append(np.zeros(len(scores[0])))
        else:
            in_ten = images_in_ten(np.where(shown, *scores), shown, joined=joined)
            found.append(in_ten - 100 * shown.mean())
    return np.stack(found, axis=1)


def _measures(columns: Mapping[str, NDArray]) -> dict[str, float]:
    is_image, asks = columns["is_image"], columns["asks"]
    ranks = {
        "caption_to_image": columns["caption"][asks & is_image],
        "caption_to_caption": columns["caption"][asks & ~is_image],
        "image_to_caption": columns["image"][columns["answers"]],
    }
    found = {kind: ranked(each) for kind, each in ranks.items() if len(each)}
    if len(found) == len(KINDS):
        scores = found["caption_to_image"]
        found["mean"] = {s: float(np.mean([found[kind][s] for kind in KINDS])) for s in scores}
    found["caption"] = ranked(columns["caption"][asks])
    flat = {f"{kind}_{score}": v for kind, scores in found.items() for score, v in scores.items()}
    return flat | {"images_in_ten": float(columns["images_in_ten"].mean())}
