"""Named ways to cut a test split into candidate sets, so that numbers can be compared."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate: scores are means over equal, disjoint folds in file order.

    Attributes:
        name: How results name it.
        folds: Number of folds.
        fold_images: Images per fold, or None for all there are.
    """

    name: str
    folds: int = 1
    fold_images: int | None = None


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("full"),
        # The two ways to report MSCOCO's 5,000 test images: each of five thousands in file
        # order by itself, then the mean; or all together. Every caption counts, where some
        # papers keep the first five of an image.
        Protocol("coco-1k", folds=5, fold_images=1000),
        Protocol("coco-5k", folds=1, fold_images=5000),
    )
}


@dataclass(frozen=True)
class Fold:
    """One candidate set.

    Attributes:
        images: Rows of its images.
        captions: Integer array with the rows of their captions.
        caption_image: Integer array that gives for each of these captions its image, counted
            from the fold's first.
    """

    images: slice
    captions: NDArray[np.int64]
    caption_image: NDArray[np.int64]


def protocol_folds(name: str, images: int, caption_image: ArrayLike) -> list[Fold]:
    """Cuts a split into the candidate sets of a protocol.

    Args:
        name: `full` (the whole split), `coco-1k` (five folds of 1,000 images in file order)
            or `coco-5k` (exactly 5,000 images).
        images: Number of images in the split.
        caption_image: Integers of shape `[C]`: the row of each caption's image.

    Returns:
        The folds, in file order.

    Raises:
        MiteError: If the name is unknown, the split has another number of images than the
            protocol, or a fold has no caption.

    Example:
        >>> [fold] = protocol_folds("full", 3, [0, 0, 2])
        >>> fold.images, fold.captions.tolist()
        (slice(0, 3, None), [0, 1, 2])
    """
    if name not in PROTOCOLS:
        raise MiteError(f"Unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.")
    protocol = PROTOCOLS[name]
    size = protocol.fold_images or images
    if images != size * protocol.folds:
        raise MiteError(
            f"Protocol {name} needs exactly {size * protocol.folds:,} images; this split has "
            f"{images:,}. Use the protocol full for it."
        )
    rows = np.asarray(caption_image)
    folds = []
    for start in range(0, images, size):
        captions = np.flatnonzero((rows >= start) & (rows < start + size))
        if not len(captions):
            raise MiteError(f"Images {start} to {start + size - 1} have no captions to evaluate.")
        folds.append(Fold(slice(start, start + size), captions, rows[captions] - start))
    return folds
