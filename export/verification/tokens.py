"""`tokenizer.json` against the ids of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.export.verification.captions import random_captions
from mite_tf.export.verification.check import Check, compare
from mite_tf.export.verification.golden import Golden

_RANDOM_CAPTIONS = 1000


def checks(folder: Path, manifest: Manifest, golden: Golden) -> Iterator[Check]:
    """Compares ids with those at export; through the SavedModel, on random captions too."""
    yield compare("tokenizer.json, ids", encode(folder, golden.captions), golden.token_ids, 0)
    if "savedmodel" in manifest.formats:
        from mite_tf.export.savedmodel import SavedModel

        model = SavedModel(folder / "savedmodel" / "text" / str(manifest.version))
        texts = random_captions(_RANDOM_CAPTIONS)
        yield compare(
            "tokenizer.json, random captions through the SavedModel",
            model.embed(encode(folder, texts), "token_ids"),
            model.embed(texts),
            1e-6,  # other ids give another embedding altogether
        )


def encode(folder: Path, texts: list[str]) -> np.ndarray:
    """Returns int32 ids `[N, L]` by `tokenizer.json`.

    Raises:
        MiteError: If the file cannot be read.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the class of its errors is `Exception` itself
        raise MiteError(f"{path}: cannot be read: {error}") from error
    return np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int32)
