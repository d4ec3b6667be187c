"""Draws symbolic scenes: flat shapes with a thin dark outline and smooth edges."""

import itertools

import numpy as np
from PIL import Image, ImageDraw

from mite_tf.errors import MiteError
from mite_tf.scenes.backgrounds import draw_background
from mite_tf.scenes.outlines import outlines, turned
from mite_tf.scenes.scene import Scene, SceneObject

RGB = {
    "red": (218, 30, 40),
    "orange": (250, 130, 20),
    "yellow": (252, 214, 30),
    "green": (28, 145, 62),
    "blue": (35, 90, 220),
    "purple": (128, 45, 165),
    "pink": (250, 135, 190),
    "black": (28, 28, 32),
}
WHITE = (255, 255, 255)
OUTLINE = (45, 45, 50)

OVERSAMPLING = 4
"""Scenes are drawn this many times larger and averaged down, which smooths their edges."""

SMALLEST = 32
"""Fewer pixels cannot show the pattern of a small object."""


def draw(scene: Scene, size: int = 96) -> Image.Image:
    """Draws a scene.

    Args:
        scene: The scene.
        size: Width and height in pixels, at least 32. Patterns of small objects are easy to
            tell from 64 on.

    Returns:
        An RGB image of `size` × `size` pixels.

    Raises:
        MiteError: `size` is too small.

    Example:
        >>> star = SceneObject("star", "red", "large", "plain", x=0.5, y=0.5)
        >>> image = draw(Scene((star,), "white"), size=64)
        >>> image.size, image.getpixel((32, 32))
        ((64, 64), (218, 30, 40))
    """
    if size < SMALLEST:
        raise MiteError(f"Cannot draw a scene {size} pixels wide. Expected at least {SMALLEST}.")
    side = size * OVERSAMPLING
    canvas = draw_background(scene.background, side).copy()
    for thing in scene.objects:
        _draw_object(canvas, thing, side)
    return canvas.reduce(OVERSAMPLING)


def _draw_object(canvas: Image.Image, thing: SceneObject, side: int) -> None:
    radius = thing.radius * side
    middle = round(1.25 * radius)
    polygons = [turned(p, thing.tilt) * radius + middle for p in outlines(thing.shape)]

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
        ImageDraw.Draw(canvas).line(closed.ravel().tolist(), OUTLINE, width, joint="curve")


def _draw_pattern(tile: Image.Image, pattern: str, radius: float) -> None:
    """Covers a tile with white stripes, dots or checks in step with the radius of its object."""
    pen, middle = ImageDraw.Draw(tile), tile.width / 2
    cells = list(itertools.product(range(-5, 6), repeat=2))
    if pattern == "striped":
        step = 0.62 * radius
        for k in range(-5, 6):
            x, end = k * step, tile.height
            pen.polygon((x + end, 0, x + end + step / 2, 0, x + step / 2, end, x, end), fill=WHITE)
    elif pattern == "dotted":
        step, dot = 0.52 * radius, 0.15 * radius
        for i, j in cells:
            x, y = middle + (i + j % 2 / 2) * step, middle + 0.87 * j * step
            pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=WHITE)
    elif pattern == "checkered":
        step = 0.42 * radius
        for i, j in cells:
            if (i + j) % 2:
                x, y = middle + i * step, middle + j * step
                pen.rectangle((x, y, x + step, y + step), fill=WHITE)
