"""Both modalities on a map: a sample of the collection, laid flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.page.cards import name_of, shown
from mite_tf.retrieval.index_interface import Stored

_WIDTH, _HEIGHT, _MARGIN = 1000, 640, 24
_SIDE = 128  # of the pictures that are shown on hover


def flattened(vectors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projects vectors on the two directions in which they vary most.

    Args:
        vectors: Real numbers of shape `[N, D]`, N at least 1.

    Returns:
        Points `[N, 2]`, and the share of the variance along each direction `[2]`.

    Example:
        >>> points, shares = flattened([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
        >>> shares.round(1).tolist()
        [0.9, 0.1]
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    points, shares = np.zeros((len(centred), 2)), np.zeros(2)
    count = min(2, len(sizes))
    points[:, :count] = centred @ directions[:count].T
    if sizes.any():
        shares[:count] = (sizes**2 / (sizes**2).sum())[:count]
    return points, shares


def map_html(
    rows: Sequence[Stored], vectors: ArrayLike, thumbnail: Callable[[str, int], str]
) -> str:
    """Draws rows as points that show, under the pointer, the picture or the text that they are.

    `thumbnail` gives the address of a picture of a path, made so small, or nothing.
    """
    points, shares = flattened(vectors)
    span = np.maximum(np.ptp(points, axis=0), 1e-12)
    room = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    places = _MARGIN + (points - points.min(axis=0)) / span * room
    drawn = "".join(_point(*each, thumbnail) for each in zip(rows, places, strict=True))
    pictures = sum(row.modality != "text" for row in rows)
    told = (
        f"{pictures} pictures (●) and {len(rows) - pictures} texts (■) of the collection, on the "
        f"two directions in which they vary most: {shares.sum():.0%} of all their variance."
    )
    return (
        f'<div class="mite-map"><p class="mite-note">{told}</p>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{drawn}</svg>'
        '<div class="mite-hover" hidden></div></div>'
    )


def _point(row: Stored, place: NDArray[np.float64], thumbnail: Callable[[str, int], str]) -> str:
    x, y = place.round(1).tolist()
    name = shown(row.text or name_of(row.path or row.id), 160)
    source = thumbnail(row.path, _SIDE) if row.path else ""
    about = f'data-id="{escape(row.id)}" data-source="{source}"><title>{name}</title>'
    if row.modality == "text":
        corner = f'x="{x - 5:.1f}" y="{y - 5:.1f}"'
        return f'<rect class="mite-of-text" {corner} width="10" height="10" {about}</rect>'
    return f'<circle class="mite-of-image" cx="{x}" cy="{y}" r="6" {about}</circle>'
