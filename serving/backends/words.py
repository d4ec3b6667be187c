"""Token ids of captions from `tokenizer.json`, word by word, remembering the words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from json import loads
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mite_tf.errors import MiteError

# Words that are remembered, about 10 MB, and their greatest length: no caption fills the memory.
_WORDS, _LENGTH = 1 << 16, 64


class Words:
    """Cuts captions into token ids, as `tokenizers` does with the same file.

    The normaliser of an export is some hundred replacements, each of which reads the whole text;
    that takes longer than a small encoder. But it maps every character by itself, and words are
    cut without regard to each other, so both can be remembered.

    Args:
        data: Contents of `tokenizer.json`.
        max_length: Ids at which a caption is cut.

    Raises:
        MiteError: If the contents cannot be read.
    """

    def __init__(self, data: bytes, max_length: int) -> None:
        try:
            tokenizer = Tokenizer.from_str(data.decode())
            normalizer = loads(data)["normalizer"]
        except Exception as error:  # tokenizers raises Exception itself
            raise MiteError(f"tokenizer.json cannot be read: {error}") from error
        self._max_length = max_length
        self._normalize = _normalizer(tokenizer, normalizer)
        tokenizer.normalizer = None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._cut: Callable[[str], Sequence[int]] = partial(_ids, tokenizer)
        self._remembered = lru_cache(_WORDS)(self._cut)

    def ids(self, captions: Sequence[str]) -> np.ndarray:
        """Returns int32 `[N, L]`, padded with 0 on the right; L is at least 1."""
        rows = [self._row(caption) for caption in captions]
        ids = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        return ids

    def _row(self, caption: str) -> list[int]:
        row: list[int] = []
        for word in self._normalize(caption).split(" "):
            if word:
                row += self._remembered(word) if len(word) <= _LENGTH else self._cut(word)
                if len(row) >= self._max_length:
                    return row[: self._max_length]
        return row


def _ids(tokenizer: Any, word: str) -> Sequence[int]:
    return tokenizer.encode(word).ids


class _Characters(dict[int, str]):
    """What a normaliser makes of each character, found when it is first met."""

    def __init__(self, normalizer: Any) -> None:
        super().__init__()
        self._normalizer = normalizer

    def __missing__(self, code: int) -> str:
        self[code] = text = self._normalizer.normalize_str(chr(code))
        return text


def _normalizer(tokenizer: Any, described: Any) -> Callable[[str], str]:
    if described is None:
        return str
    steps = described["normalizers"] if described["type"] == "Sequence" else [described]
    if all(step["type"] == "Replace" for step in steps):
        characters = _Characters(tokenizer.normalizer)
        return lambda text: text.translate(characters)
    return tokenizer.normalizer.normalize_str
