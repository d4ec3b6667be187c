"""Small pictures as files, and what a check prints."""

import io

import numpy as np
from PIL import Image
from rich.console import Console

from mite_tf.data import CheckReport


def picture(seed: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def printed(report: CheckReport, shown: int = 20) -> str:
    stream = io.StringIO()
    report.print(Console(file=stream, width=60, color_system=None), shown=shown)
    return stream.getvalue()


JPEG = encoded(picture())
PNG = encoded(picture(), "PNG")
