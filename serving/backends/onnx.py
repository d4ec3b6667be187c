"""ONNX files, run by ONNX Runtime; texts are cut by `tokenizers`. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from json import loads
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer, normalizers

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.serving.backends.backend import Backend, Rows

# Words that are remembered, about 10 MB, and their greatest length: no text fills the memory.
_WORDS, _LENGTH = 1 << 16, 64


# no example: made by `open_backend` from an export folder.
class OnnxBackend(Backend):
    """One encoder in ONNX, with the tokenizer or the preprocessing that belongs before it.

    `files` holds the contents of the `.onnx` file, and of `tokenizer.json` for texts.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: str,
        files: Sequence[bytes],
        threads: int,
        max_image_pixels: int,
    ) -> None:
        super().__init__(manifest, model, max_image_pixels)
        if model == "text" and manifest.text.get("kind") == "bag-of-words":
            threads = threads or 1  # done before a second thread has woken up
        self._session = _session(files[0], threads)
        [self._input] = [each.name for each in self._session.get_inputs()]
        self._words = _Words(files[1], self._max_length) if model == "text" else None

    def run(self, rows: Rows) -> np.ndarray:
        values = self._words.ids(rows.values) if self._words and rows.key == "text" else rows.values
        [embedding] = self._session.run(["embedding"], {self._input: values})
        return embedding

    def unknown(self, texts: Sequence[str]) -> list[str]:
        ids = self._words.ids(texts) if self._words and texts else np.zeros((0, 1))
        return [text for text, row in zip(texts, ids, strict=True) if not (row > 1).any()]

    def close(self) -> None:
        del self._session


def _session(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from those that read the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has one class for each kind, without a base
        raise MiteError(f"onnxruntime cannot load the model: {error}") from error


class _Words:
    """Cuts texts into token ids, as `tokenizers` does with the same file, but remembers words.

    The normaliser of an export is some hundred replacements, each of which reads the whole text;
    that takes longer than a small encoder. But between two decompositions it maps every character
    by itself, and words are cut without regard to each other, so both can be remembered.
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
        self._cut: Callable[[str], Sequence[int]] = lambda word: tokenizer.encode(word).ids
        self._remembered = lru_cache(_WORDS)(self._cut)

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        """Returns int32 `[N, L]`, padded with 0 on the right; L is at least 1."""
        rows = [self._row(text) for text in texts]
        ids = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        return ids

    def _row(self, text: str) -> list[int]:
        row: list[int] = []
        for word in self._normalize(text).split(" "):
            if word:
                row += self._remembered(word) if len(word) <= _LENGTH else self._cut(word)
                if len(row) >= self._max_length:
                    return row[: self._max_length]
        return row


def _normalizer(tokenizer: Any, described: Any) -> Callable[[str], str]:
    if described is None:
        return str
    steps = described["normalizers"] if described["type"] == "Sequence" else [described]
    kinds = [step["type"] for step in steps]
    character = lru_cache(_WORDS)(tokenizer.normalizer.normalize_str)
    if set(kinds) == {"Replace"}:
        return lambda text: "".join(map(character, text))
    if kinds[0] == kinds[-1] == "NFD" and set(kinds[1:-1]) <= {"Replace"}:
        decompose = normalizers.NFD().normalize_str
        return lambda text: decompose("".join(map(character, decompose(text))))
    return tokenizer.normalizer.normalize_str
