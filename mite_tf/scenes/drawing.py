"""Draws symbolic scenes: flat shapes with a thin dark outline and smooth edges."""

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mite_tf.errors import MiteError
from mite_tf.scenes.scene import Scene, SceneObject

SMALLEST = 32  # fewer pixels cannot show the pattern of a small object

_Colour = tuple[int, int, int]
_Points = NDArray[np.float64]

RGB: dict[str, _Colour] = {
    "red": (218, 30, 40),
    "orange": (250, 130, 20),
    "yellow": (252, 214, 30),
    "green": (28, 145, 62),
    "blue": (35, 90, 220),
    "purple": (128, 45, 165),
    "pink": (250, 135, 190),
    "black": (28, 28, 32),
}
_WHITE = (255, 255, 255)
_OUTLINE = (45, 45, 50)
_PLAIN = {"white": (252, 252, 252), "grey": (190, 192, 196), "cream": (246, 234, 205)}
_OVERSAMPLING = 4  # drawn so many times larger and averaged down, which smooths the edges


def draw(scene: Scene, size: int = 96) -> Image.Image:
    """Draws a scene as an RGB image of `size` × `size` pixels, at least 32.

    Patterns of small objects are easy to tell from 64 on.

    Example:
        >>> star = SceneObject("star", "red", "large", "plain", x=0.5, y=0.5)
        >>> image = draw(Scene((star,), "white"), size=64)
        >>> image.size, image.getpixel((32, 32))
        ((64, 64), (218, 30, 40))
    """
    if size < SMALLEST:
        raise MiteError(f"Cannot draw a scene {size} pixels wide. Expected at least {SMALLEST}.")
    side = size * _OVERSAMPLING
    canvas = _background(scene.background, side).copy()
    for thing in scene.objects:
        _draw_object(canvas, thing, side)
    return canvas.reduce(_OVERSAMPLING)


def _draw_object(canvas: Image.Image, thing: SceneObject, side: int) -> None:
    radius = thing.radius * side
    middle = round(1.25 * radius)
    polygons = [_turned(p, thing.tilt) * radius + middle for p in _outlines(thing.shape)]

    mask = Image.new("L", (2 * middle, 2 * middle))
    for points, inside in zip(polygons, (255, 0), strict=False):
        ImageDraw.Draw(mask).polygon(points.ravel().tolist(), fill=inside)
    tile = Image.new("RGB", mask.size, RGB[thing.colour])
    _draw_pattern(tile, thing.pattern, radius)
    corner = round(thing.x * side) - middle, round(thing.y * side) - middle
    canvas.paste(tile, corner, mask)

    width = max(2, side // 110)
    for points in polygons:
        closed = np.concatenate([points, points[:2]]) + corner
        ImageDraw.Draw(canvas).line(closed.ravel().tolist(), _OUTLINE, width, joint="curve")


def _draw_pattern(tile: Image.Image, pattern: str, radius: float) -> None:
    """Covers a tile with white stripes, dots or checks in step with the radius of its object."""
    pen, middle = ImageDraw.Draw(tile), tile.width / 2
    cells = list(itertools.product(range(-5, 6), repeat=2))
    if pattern == "striped":
        step = 0.62 * radius
        for k in range(-5, 6):
            x, end = k * step, tile.height
            pen.polygon((x + end, 0, x + end + step / 2, 0, x + step / 2, end, x, end), fill=_WHITE)
    elif pattern == "dotted":
        step, dot = 0.52 * radius, 0.15 * radius
        for i, j in cells:
            x, y = middle + (i + j % 2 / 2) * step, middle + 0.87 * j * step
            pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=_WHITE)
    elif pattern == "checkered":
        step = 0.42 * radius
        for i, j in cells:
            if (i + j) % 2:
                x, y = middle + i * step, middle + j * step
                pen.rectangle((x, y, x + step, y + step), fill=_WHITE)


@lru_cache(maxsize=16)
def _background(name: str, side: int) -> Image.Image:
    """Draws a background, pale enough for every object colour to stand out; copy it before use."""
    match name:
        case "paper":
            image = Image.new("RGB", (side, side), (252, 252, 248))
            pen = ImageDraw.Draw(image)
            for at in (round(k * side / 8) for k in range(1, 8)):
                for line in ((at, 0, at, side), (0, at, side, at)):
                    pen.line(line, fill=(176, 206, 232), width=max(1, side // 96))
            return image
        case "fading":
            return _fading((160, 202, 240), (250, 252, 255), side)
        case "sunset":
            return _fading((255, 196, 130), (246, 200, 214), side)
        case "meadow":
            return _horizon((196, 226, 248), (176, 216, 128), 0.6, side)
        case "beach":
            return _horizon((150, 205, 226), (240, 220, 168), 0.5, side)
    return Image.new("RGB", (side, side), _PLAIN[name])


def _fading(top: _Colour, bottom: _Colour, side: int) -> Image.Image:
    share = np.linspace(0, 1, side)[:, None, None]
    rows = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return Image.fromarray(np.tile(rows, (1, side, 1)).round().astype(np.uint8))


def _horizon(above: _Colour, below: _Colour, height: float, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), above)
    ImageDraw.Draw(image).rectangle((0, round(height * side), side, side), fill=below)
    return image


@lru_cache
def _outlines(shape: str) -> tuple[_Points, ...]:
    """Returns the outline of a shape of radius 1, and that of its hole if it has one.

    Corners reach a little beyond the radius and round shapes stay a little within it, so that
    all shapes look equally large.
    """
    match shape:
        case "circle":
            return (_arc(0.95),)
        case "square":
            return (_corners([1.2] * 4, start=-45),)
        case "triangle":
            return (_corners([1.2] * 3) + np.array([0, 0.2]),)
        case "star":
            return (_corners([1.15, 0.5] * 5) + np.array([0, 0.05]),)
        case "heart":
            t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
            x = 16 * np.sin(t) ** 3
            y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
            return (np.stack([x, -y - 2.5], axis=1) / 15.5,)
        case "cross":
            quarter = np.array([(0.36, -1.0), (0.36, -0.36), (1.0, -0.36)])
            return (np.concatenate([_turned(quarter, 90 * k) for k in range(4)]),)
        case "ring":
            return _arc(1.1), _arc(0.66)
        case "crescent":
            back, front = _arc(1.08, 50, 310), _arc(0.85, 283.2, 76.8) + np.array([0.5, 0])
            return (np.concatenate([back, front]) + np.array([0.15, 0]),)
    raise ValueError(f"No outline for shape {shape!r}.")


def _turned(points: _Points, degrees: float) -> _Points:
    """Turns points clockwise about the origin."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _arc(radius: float, start: float = 0, stop: float = 355) -> _Points:
    """Returns points on a circle between two directions, in degrees clockwise from the right."""
    angles = np.deg2rad(np.linspace(start, stop, 72))
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _corners(radii: list[float], start: float = -90) -> _Points:
    """Returns corners at equal angles, the first one at the top unless told otherwise."""
    angles = np.deg2rad(start + 360 / len(radii) * np.arange(len(radii)))
    return np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
