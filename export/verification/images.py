"""Image files that an encoder may meet, the odd ones among them; drawn here, not photographed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def images() -> dict[str, bytes]:
    """Returns the image files to verify, by file name.

    Example:
        >>> sorted(images())[:3]
        ['alpha.png', 'alpha.webp', 'animated.gif']
    """
    picture = _picture(160, 120)
    rotation = Image.Exif()
    rotation[0x0112] = 6  # turn right by 90 degrees to show
    alpha = picture.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    frames: dict[str, object] = {
        "save_all": True,
        "append_images": [picture.transpose(Image.Transpose.ROTATE_180)],
    }
    return {
        "photo.jpg": _file(picture, "JPEG", quality=85),
        "photo.png": _file(picture, "PNG"),
        "photo.webp": _file(picture, "WEBP", quality=85),
        "tiny.png": _file(_picture(1, 1), "PNG"),
        "narrow.png": _file(_picture(3, 200), "PNG"),
        "huge.jpg": _file(_picture(3000, 2000), "JPEG", quality=50),
        "grey.jpg": _file(picture.convert("L"), "JPEG"),
        "grey_16_bits.png": _file(
            Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257), "PNG"
        ),
        "palette.png": _file(picture.quantize(32), "PNG"),
        "cmyk.jpg": _file(picture.convert("CMYK"), "JPEG"),
        "alpha.png": _file(alpha, "PNG"),
        "alpha.webp": _file(alpha, "WEBP"),
        "animated.gif": _file(picture, "GIF", **frames),
        "animated.webp": _file(picture, "WEBP", **frames),
        "exif_rotated.jpg": _file(picture, "JPEG", exif=rotation),
        "progressive.jpg": _file(picture, "JPEG", progressive=True),
    }


def _picture(width: int, height: int) -> Image.Image:
    """Soft colours with discs and stripes, so that every step of a resize shows."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    disc = np.hypot(x - 0.4, y - 0.3) < 0.2
    stripes = np.sin(60 * (x + y)) > 0.6
    channels = [255 * x, 255 * y, 255 * (1 - x)]
    pixels = np.stack([np.where(disc, 255 - c, np.where(stripes, 30, c)) for c in channels], -1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
