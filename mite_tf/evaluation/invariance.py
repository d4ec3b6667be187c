"""Whether images and captions are distributed alike in the embedding space.

All measures take the arrays of `evaluate_embeddings` and scale embeddings to length 1.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import matching_similarity, one_caption_each, unit_embeddings
from mite_tf.retrieval.cosine import unit_rows


def centroid_gap(image_embeddings: ArrayLike, caption_embeddings: ArrayLike) -> float:
    """Computes the distance between the mean image and the mean caption embedding.

    Returns:
        Euclidean distance in [0, 2]; 0.82 for CLIP, by the paper.

    Reference:
        Liang et al., Mind the Gap, NeurIPS 2022, arXiv:2203.02053.

    Example:
        >>> centroid_gap([[1.0, 0.0]], [[-3.0, 0.0]])
        2.0
    """
    images = unit_rows(image_embeddings, name="image embeddings", allow_zero=True)
    captions = unit_rows(caption_embeddings, name="caption embeddings", allow_zero=True)
    difference = images.mean(axis=0, dtype=np.float64) - captions.mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(difference))


def relative_modality_gap(
    image_embeddings: ArrayLike, caption_embeddings: ArrayLike, caption_image: ArrayLike
) -> float:
    """Computes the distance of matching pairs relative to distances within the modalities.

    With `d(x, y) = (1 - cos(x, y)) / 2`, it is `m / (m + w)`, where `m` is the mean of `d`
    over matching pairs and `w` its mean over all pairs of images and over all pairs of
    captions, the two averaged. Unlike the centroid gap it does not shrink only because all
    embeddings move closer together.

    Returns:
        A number in [0, 1]: 0 if each caption lies on its image, 1/2 if matching pairs are as
        far apart as members of one modality. All embeddings in one point give 0.

    Raises:
        MiteError: If there are not two images and two captions.

    Reference:
        Schrodi et al., Two Effects, One Trigger, ICLR 2025, arXiv:2404.07983.

    Example:
        >>> relative_modality_gap([[1, 0], [-1, 0]], [[0, 1], [0, -1]], [0, 1])
        0.333...
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    images, captions = embeddings.images, embeddings.captions
    if min(len(images), len(captions)) < 2:
        raise MiteError("The relative modality gap needs at least two images and two captions.")
    matching = (1.0 - float(matching_similarity(embeddings).mean(dtype=np.float64))) / 2.0
    within = (_mean_dissimilarity(images) + _mean_dissimilarity(captions)) / 2
    # Below the resolution of float32 both are rounding, and their quotient would be noise.
    return matching / (matching + within) if matching > 2.0**-23 else 0.0


def mmd(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    gamma: float = 0.5,
    max_images: int = 1000,
    seed: int = 0,
) -> float:
    """Estimates the squared maximum mean discrepancy, without bias.

    The kernel is `exp(-gamma * |x - y|**2)`, with a gamma of 0.5 as in PVSE (arXiv:1906.04402),
    where two unrelated unit vectors have kernel 1/e. At most `max_images` images are taken, each
    with one caption, both drawn at random. Pairs of a sample with itself are left out, and so are
    matching pairs: they are near because they match, not because the distributions are alike.

    Returns:
        An estimate that is 0 on average for equal distributions, so it may be a little below
        0; at most 2.

    Raises:
        MiteError: If fewer than two images have captions.

    Reference:
        Gretton et al., A Kernel Two-Sample Test, JMLR 2012, the unbiased estimate of
        Lemma 6 for paired samples.

    Example:
        >>> round(mmd(np.eye(2), -np.eye(2), [0, 1], gamma=1.0), 4)
        0.0
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    images, captions = one_caption_each(embeddings, max_images=max_images, seed=seed)
    n = len(images)
    if n < 2:
        raise MiteError("The discrepancy needs at least two images with captions.")

    def mean_kernel(x: NDArray, y: NDArray) -> float:
        x, y = x.astype(np.float64), y.astype(np.float64)
        squared = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2.0 * x @ y.T
        kernel = np.exp(-gamma * np.maximum(squared, 0.0))
        return float(kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    within = mean_kernel(images, images) + mean_kernel(captions, captions)
    return within - 2.0 * mean_kernel(images, captions)


def _mean_dissimilarity(units: NDArray) -> float:
    """Returns the mean over all pairs of two different rows, from the length of the rows' sum."""
    total = units.sum(axis=0, dtype=np.float64)
    own = np.einsum("nd,nd->", units, units, dtype=np.float64)
    cosine = (total @ total - own) / (len(units) * (len(units) - 1))
    return (1.0 - float(cosine)) / 2.0
