"""Captions and image files that encoders may meet, the odd ones among them.

The images are drawn here, not photographed.
"""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image

_BLOCKS = (
    (0x00, 0x7F), (0x80, 0x24F), (0x300, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0xF00, 0xFFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF),
    (0x2000, 0x206F), (0x2100, 0x218F), (0x3040, 0x30FF), (0x4E00, 0x4EFF), (0xA980, 0xA9DF),
    (0xAC00, 0xACFF), (0xF900, 0xFAFF), (0xFB00, 0xFB06), (0xFE00, 0xFE0F),
    (0xFF00, 0xFFEF), (0x1F300, 0x1F64F), (0x20000, 0x200FF), (0xE0000, 0xE007F),
)  # fmt: skip


def captions(max_length: int) -> dict[str, str]:
    """Returns the captions to verify, by name; the longest has more than `max_length` tokens.

    Example:
        >>> cases = captions(48)
        >>> cases["empty"], cases["one word"], len(cases["longest"].split())
        ('', 'dog', 58)
    """
    longest = max_length + 10
    return {
        "empty": "",
        "one word": "dog",
        "sentence": "Two dogs run across the wet sand.",
        "longest": " ".join((["a", "dog", "runs", "after", "red"] * max_length)[:longest]),
        "one long word": "dog" * 100,
        "case and accents": "Ein GROSSER Hund läuft über die Straße, café, naïve",
        "punctuation": "dog,dog;(dog) [dog] -- dog… “dog” it's",
        "reserved words": "[PAD] [UNK] [CLS] ##s",
        "emoji": "a dog 🐕 and a family 👩‍👩‍👧‍👦 🇩🇪",
        "right to left": "כלב רץ על החוף والكلب يركض",
        "unseen script": "ᚠᚢᚦ 𐍈𐌰 ꦲꦏ꧀ꦱꦫ",
        "Chinese and Japanese": "一只狗在沙滩上跑 犬が走る",
        "Hangul": "개가 달린다",
        "compatibility forms": "ﬁne Ⅷ ｄｏｇ ½ ㎏ ①",
        "white space and control characters": "a\tdog\u00a0runs\u3000\x00fast\ufeff\u200b now\n",
        "combining marks": "do\u0301g c\u0327a\u0300fe\u0301",
        "marks in another order": "ệ e\u0323\u0302 ê\u0323 \u0301dog",
        "marks that carry meaning": "ガラス カラス ｶﾞﾗｽ ma má mà हिन्दी עִבְרִית",
        "Thai": "สุนัขวิ่งบนชายหาดที่มีคลื่นลมแรงในตอนเช้า",
        "other scripts without spaces": "ໝາແລ່ນ ឆ្កែរត់ ခွေးပြေး ཁྱི་རྒྱུག ꦱꦼꦒꦮꦺꦴꦤ꧀ 𠀀𪛐𰀀",
        "long words": f"{'ACGT' * 40} {'д' * 99} https://example.org/{'a1b2' * 30} {'🐕' * 40}",
        "no word": "\u200b\ufeff \x1b \ufe0f \u0301",
    }


def random_captions(count: int, *, seed: int = 0) -> list[str]:
    """Draws captions of characters from many scripts, mixed with English words.

    Example:
        >>> len(random_captions(3)), random_captions(3) == random_captions(3)
        (3, True)
    """
    draw = random.Random(seed)
    words = ["a", "the", "dog", "man", "two", "red", "ball", "in", "on", "with", "running's"]

    def piece() -> str:
        if draw.random() < 0.4:
            return f" {draw.choice(words)} "
        return chr(draw.randint(*draw.choice(_BLOCKS)))

    return ["".join(piece() for _ in range(draw.randint(0, 30))) for _ in range(count)]


def images() -> dict[str, bytes]:
    """Returns the image files to verify, by file name.

    Example:
        >>> sorted(images())[:3]
        ['alpha.png', 'alpha.webp', 'animated.gif']
    """
    picture = _picture(160, 120)
    rotation = Image.Exif()
    rotation[0x0112] = 6  # turn right by 90 degrees to show
    grey_16_bits = np.asarray(picture.convert("L"), np.uint16) * 257
    alpha = picture.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(picture.size))
    turned = picture.transpose(Image.Transpose.ROTATE_180)
    frames: dict[str, object] = {"save_all": True, "append_images": [turned]}
    return {
        "photo.jpg": _file(picture, "JPEG", quality=85),
        "photo.png": _file(picture, "PNG"),
        "photo.webp": _file(picture, "WEBP", quality=85),
        "tiny.png": _file(_picture(1, 1), "PNG"),
        "narrow.png": _file(_picture(3, 200), "PNG"),
        "huge.jpg": _file(_picture(3000, 2000), "JPEG", quality=50),
        "grey.jpg": _file(picture.convert("L"), "JPEG"),
        "grey_16_bits.png": _file(Image.fromarray(grey_16_bits), "PNG"),
        "palette.png": _file(picture.quantize(32), "PNG"),
        "cmyk.jpg": _file(picture.convert("CMYK"), "JPEG"),
        "alpha.png": _file(alpha, "PNG"),
        "alpha.webp": _file(alpha, "WEBP"),
        "animated.gif": _file(picture, "GIF", **frames),
        "animated.webp": _file(picture, "WEBP", **frames),
        "palette.bmp": _file(picture.quantize(32), "BMP"),
        "transparent.gif": _file(picture.quantize(32), "GIF", transparency=3),
        "exif_rotated.jpg": _file(picture, "JPEG", exif=rotation),
        "exif_rotated.png": _file(picture, "PNG", exif=rotation),
        "exif_rotated.webp": _file(picture, "WEBP", exif=rotation, quality=85),
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
