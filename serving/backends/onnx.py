"""ONNX files, run by ONNX Runtime; texts are cut by `tokenizers`. No TensorFlow."""

from __future__ import annotations

import os
import re
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

# Words and characters that are remembered, about 10 MB each at most, and the greatest length of a
# word: no text fills the memory.
_WORDS, _LENGTH, _CHARACTERS = 1 << 15, 16, 1 << 16
_BETWEEN = "\U000f0000"  # for private use: no normaliser changes it


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
        values = rows.values
        if self._words and rows.key == "text":
            values = self._words.ids(values)
        [embedding] = self._session.run(["embedding"], {self._input: values})
        return embedding

    def unknown(self, rows: Rows) -> list[int]:
        ids = self._words.ids(rows.values) if self._words else np.ones((0, 1))
        nothing = self._words.nothing if self._words else []
        return np.flatnonzero(np.isin(ids, nothing).all(axis=1)).tolist()

    def words(self, rows: Rows) -> tuple[int, int]:
        return self._words.counts(rows.values) if self._words else (0, 0)

    def tokens(self, array: np.ndarray) -> int:
        texts = self.prepare("serving_default", array).values
        words = self._words
        assert words is not None  # texts are asked of the text encoder
        return sum(len(each if isinstance(each, list) else words.row(each)) for each in texts)

    def _long_text(self, text: str) -> Any:
        # Here and not in the call, which others wait for, too.
        return self._words.row(text) if self._words else text

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
    that takes longer than a small encoder. But between decompositions it maps every character
    by itself, and words are cut without regard to each other, so both can be remembered.
    """

    def __init__(self, data: bytes, max_length: int) -> None:
        try:
            tokenizer = Tokenizer.from_str(data.decode())
            described = loads(data)
            unknown, spaces = _unknown(described["model"])
        except Exception as error:  # tokenizers raises Exception itself
            raise MiteError(f"tokenizer.json cannot be read: {error}") from error
        self._normalize = _normalizer(tokenizer, described["normalizer"])
        tokenizer.normalizer = None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ends = tokenizer.encode("").ids  # around every text of a pretrained network; else none
        template = (described.get("post_processor") or {"single": []})["single"]
        before = 1 if template and "SpecialToken" in template[0] else 0
        self._first, self._last = ends[:before], ends[before:]
        self._room = max_length - len(self._last)
        self.nothing = [0, *unknown, *spaces, *ends]  # ids that say nothing of a text
        self._around = [0, *ends]
        self._unknown = [each for each in unknown if each not in ends]
        # GPT-2 takes a space into the word behind it.
        no_suffix = described["model"].get("end_of_word_suffix") is None
        keeps = described["model"]["type"] == "BPE" and no_suffix
        self._split: Callable[[str], list[str]] = (
            re.compile("(?= )").split if keeps else lambda text: text.split(" ")
        )
        self._cut: Callable[[str], Sequence[int]] = lambda word: (
            tokenizer.encode(word, add_special_tokens=False).ids
        )
        self._remembered = lru_cache(_WORDS)(self._cut)

    def ids(self, texts: Sequence[str | list[int]]) -> np.ndarray:
        """Returns int32 `[N, L]`, padded with 0 on the right; L is at least 1.

        A text may be given by its ids.
        """
        rows = [self.row(text) if isinstance(text, str) else text for text in texts]
        ids = np.zeros((len(rows), max(1, *map(len, rows))), np.int32)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        return ids

    def counts(self, texts: Any) -> tuple[int, int]:
        """Returns how many tokens texts have, and how many of these stand for an unknown word."""
        ids = self.ids(texts)
        words = int((~np.isin(ids, self._around)).sum())
        return words, int(np.isin(ids, self._unknown).sum())

    def row(self, text: str) -> list[int]:
        """Returns the ids of one text, at most `max_length`."""
        row: list[int] = [*self._first]
        for word in self._split(self._normalize(text)):
            if word:
                row += self._remembered(word) if len(word) <= _LENGTH else self._cut(word)
                if len(row) >= self._room:
                    break
        return [*row[: self._room], *self._last]


def _unknown(model: Any) -> tuple[list[int], list[int]]:
    """Returns the ids of what a vocabulary lacks, and those of a space alone."""
    if model["type"] == "Unigram":
        spaces = [number for number, (entry, _) in enumerate(model["vocab"]) if entry == "▁"]
        return [model["unk_id"]], spaces
    return [model["vocab"][model["unk_token"]]] if model["unk_token"] else [], []


def _normalizer(tokenizer: Any, described: Any) -> Callable[[str], str]:
    if described is None:
        return str
    steps = described["normalizers"] if described["type"] == "Sequence" else [described]
    kinds = [step["type"] for step in steps]
    normalize = tokenizer.normalizer.normalize_str
    if normalize(_BETWEEN) != _BETWEEN:
        return normalize
    begins, ends = kinds[0] == "NFD", len(kinds) > 1 and kinds[-1] == "NFD"
    # What looks at the ends of a text does not map characters by themselves.
    patterns = [step["pattern"].get("Regex", "") for step in steps if step["type"] == "Replace"]
    by_itself = not any(pattern.startswith("^") for pattern in patterns)
    if by_itself and set(kinds[begins : len(kinds) - ends]) <= {"Replace"}:
        mapped, decompose = _by_character(normalize), normalizers.NFD().normalize_str
        before, after = (decompose if each else str for each in (begins, ends))
        return lambda text: after(mapped(before(text)))
    return normalize


def _by_character(normalize: Callable[[str], str]) -> Callable[[str], str]:
    """Remembers what becomes of each character; those that are new are looked up together."""
    remembered: dict[str, str] = {}

    def mapped(text: str) -> str:
        nonlocal remembered
        known = remembered
        new = set(text).difference(known)
        if new:
            if len(known) + len(new) > _CHARACTERS:
                known, new = {}, set(text)
            several = sorted(new - {_BETWEEN})
            found = normalize(_BETWEEN.join(several)).split(_BETWEEN)
            known |= dict(zip(several, found, strict=True), **{_BETWEEN: _BETWEEN})
            remembered = known
        return "".join(map(known.__getitem__, text))

    return mapped
