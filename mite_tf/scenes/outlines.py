"""Outlines of the shapes, as closed polygons about the origin, `y` downwards."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@lru_cache
def outlines(shape: str) -> tuple[Points, ...]:
    """Returns the outline of a shape of radius 1, and that of its hole if it has one.

    Corners reach a little beyond the radius and round shapes stay a little within it, so that
    all shapes look equally large.

    Args:
        shape: One of `mite_tf.scenes.scene.SHAPES`.

    Returns:
        One or two arrays of shape `(points, 2)`; the last point joins the first.

    Example:
        >>> [len(points) for points in outlines("cross")], [len(p) for p in outlines("ring")]
        ([12], [72, 72])
    """
    match shape:
        case "circle":
            return (_circle(0.95),)
        case "square":
            return (_corners([1.2] * 4, start=-45),)
        case "triangle":
            return (_moved(_corners([1.2] * 3), y=0.2),)
        case "star":
            return (_moved(_corners([1.15, 0.5] * 5), y=0.05),)
        case "heart":
            return (_heart(),)
        case "cross":
            quarter = np.array([(0.36, -1.0), (0.36, -0.36), (1.0, -0.36)])
            return (np.concatenate([turned(quarter, 90 * k) for k in range(4)]),)
        case "ring":
            return _circle(1.1), _circle(0.66)
        case "crescent":
            back, front = _arc(1.08, 50, 310), _moved(_arc(0.85, 283.2, 76.8), x=0.5)
            return (_moved(np.concatenate([back, front]), x=0.15),)
    raise ValueError(f"No outline for shape {shape!r}.")


def turned(points: Points, degrees: float) -> Points:
    """Turns points clockwise about the origin.

    Example:
        >>> turned(np.array([[1.0, 0.0]]), 90).round()
        array([[0., 1.]])
    """
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _moved(points: Points, x: float = 0, y: float = 0) -> Points:
    return points + np.array([x, y])


def _circle(radius: float) -> Points:
    return _arc(radius, 0, 355)


def _arc(radius: float, start: float, stop: float) -> Points:
    """Returns points on a circle between two directions, in degrees clockwise from the right."""
    angles = np.deg2rad(np.linspace(start, stop, 72))
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _corners(radii: list[float], start: float = -90) -> Points:
    """Returns corners at equal angles, the first one at the top unless told otherwise."""
    angles = np.deg2rad(start + 360 / len(radii) * np.arange(len(radii)))
    return np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=1) / 15.5
