"""Captions that an encoder may meet, the odd ones among them."""

from __future__ import annotations

import random

_BLOCKS = (
    (0x00, 0x7F), (0x80, 0x24F), (0x300, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2100, 0x218F), (0x3040, 0x30FF),
    (0x4E00, 0x4EFF), (0xAC00, 0xACFF), (0xF900, 0xFAFF), (0xFB00, 0xFB06), (0xFE00, 0xFE0F),
    (0xFF00, 0xFFEF), (0x1F300, 0x1F64F), (0x20000, 0x200FF), (0xE0000, 0xE007F),
)  # fmt: skip


def captions(max_length: int) -> dict[str, str]:
    """Returns the captions to verify, by name.

    Args:
        max_length: Token ids that the tokenizer keeps; the longest caption has more.

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
    }


def random_captions(count: int, *, seed: int = 0) -> list[str]:
    """Draws captions of characters from many scripts, mixed with English words.

    Args:
        count: Number of captions.
        seed: Decides them.

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
