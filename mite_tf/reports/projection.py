"""Embeddings in two dimensions, to be looked at."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.extras import from_extra

PROJECTIONS = ("pca", "umap")


class Plane(NamedTuple):
    """Points in two dimensions.

    Attributes:
        points: Float array of shape `[N, 2]`.
        labels: What the two dimensions are.
    """

    points: NDArray
    labels: tuple[str, str]


def project_to_plane(rows: NDArray, method: str = "pca", *, seed: int = 0) -> Plane:
    """Projects rows to two dimensions.

    Args:
        rows: Real numbers of shape `[N, D]`.
        method: `pca` for the plane in which the rows vary most: what is far apart there is far
            apart. `umap` keeps neighbours together instead, so that it shows groups, while
            distances between them say little; it comes with `pip install 'mite-tf[umap]'`.
        seed: Decides what `umap` draws.

    Returns:
        The points, row by row.

    Raises:
        MiteError: If there is no such method, or UMAP is not installed.

    Reference:
        McInnes et al., UMAP, 2018, arXiv:1802.03426.

    Example:
        >>> plane = project_to_plane(np.diag([3.0, 2.0, 0.0]))
        >>> plane.points.shape, plane.labels[0]
        ((3, 2), 'first component (80% of variance)')
    """
    if method == "pca":
        return _principal_plane(rows)
    if method == "umap":
        return Plane(_umap(rows, seed), ("first dimension of UMAP", "second dimension of UMAP"))
    raise MiteError(f"No projection {method!r}; there are {', '.join(PROJECTIONS)}.")


def _principal_plane(rows: NDArray) -> Plane:
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, [-1, -2]]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # a direction, not its opposite
    shares = variances[[-1, -2]] / max(variances.sum(), 1e-12)
    return Plane(
        centred @ axes,
        (
            f"first component ({shares[0]:.0%} of variance)",
            f"second component ({shares[1]:.0%} of variance)",
        ),
    )


def _umap(rows: NDArray, seed: int) -> NDArray:
    with from_extra("umap", "The projection 'umap'"):
        from umap import UMAP
    # One job: with a seed there is never another.
    neighbours = min(15, len(rows) - 1)
    umap = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1)
    return np.asarray(umap.fit_transform(rows))
