"""Backgrounds of rendered scenes: pale enough for every object colour to stand out."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

PLAIN: dict[str, Colour] = {
    "white": (252, 252, 252),
    "grey": (190, 192, 196),
    "cream": (246, 234, 205),
}


@lru_cache(maxsize=16)
def draw_background(name: str, side: int) -> Image.Image:
    """Draws a background; callers copy it before they draw on it.

    Args:
        name: One of `mite_tf.scenes.scene.BACKGROUNDS`.
        side: Width and height in pixels.

    Returns:
        An RGB image of `side` × `side` pixels.

    Example:
        >>> draw_background("cream", 64).getpixel((0, 0))
        (246, 234, 205)
    """
    match name:
        case "paper":
            return _squared((252, 252, 248), (176, 206, 232), side)
        case "fading":
            return _fading((160, 202, 240), (250, 252, 255), side)
        case "sunset":
            return _fading((255, 196, 130), (246, 200, 214), side)
        case "meadow":
            return _horizon((196, 226, 248), (176, 216, 128), 0.6, side)
        case "beach":
            return _horizon((150, 205, 226), (240, 220, 168), 0.5, side)
    return Image.new("RGB", (side, side), PLAIN[name])


def _fading(top: Colour, bottom: Colour, side: int) -> Image.Image:
    share = np.linspace(0, 1, side)[:, None, None]
    rows = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return Image.fromarray(np.tile(rows, (1, side, 1)).round().astype(np.uint8))


def _horizon(above: Colour, below: Colour, height: float, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), above)
    ImageDraw.Draw(image).rectangle((0, round(height * side), side, side), fill=below)
    return image


def _squared(paper: Colour, lines: Colour, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), paper)
    pen = ImageDraw.Draw(image)
    for k in range(1, 8):
        at = round(k * side / 8)
        pen.line((at, 0, at, side), fill=lines, width=max(1, side // 96))
        pen.line((0, at, side, at), fill=lines, width=max(1, side // 96))
    return image
