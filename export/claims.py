"""Whether what a manifest claims is what the files do: signatures, tokenizer, ids, space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.manifest import Manifest
from mite_tf.retrieval import HubCorrection

_Signatures = dict[str, tuple[str, str, list[int | None]]]
_OF_TEXT: _Signatures = {
    "serving_default": ("text", "string", [None]),
    "token_ids": ("token_ids", "int32", [None, None]),
}
_OF_FILES: _Signatures = {
    "serving_default": ("image_bytes", "string", [None]),
    "pixels": ("pixels", "float32", [None, None, None, 3]),
    "pixels_uint8": ("pixels", "uint8", [None, None, None, 3]),
}
_MOST_FEATURES = 1 << 24  # of one image
_IGNORED = ("orientation", "ignored")
# Ids behind the last that counts, which must not change an embedding.
_BEHIND = 8
# Between two calls that compute the same.
_SAME = 1e-4


def space_of(
    *,
    image: str,
    text: str,
    preprocessing: Mapping[str, Any] | None,
    tokenizer: Mapping[str, Any],
    vocabulary: Sequence[str],
) -> str:
    """Returns a hash of all that decides an embedding: equal spaces can be compared.

    Args:
        image: Hash of the image encoder.
        text: Hash of the text encoder.
        preprocessing: As in the manifest.
        tokenizer: `kind`, `max_length`, `lower_case`, `strip_accents` and, where there is one, the
            hash `rules`, as in the manifest.
        vocabulary: Words by their ids.
    """
    # Without an orientation that is ignored, which earlier versions did without saying so.
    deciding = preprocessing and {
        key: value for key, value in preprocessing.items() if (key, value) != _IGNORED
    }
    kept = {key: tokenizer[key] for key in ("max_length", "lower_case", "strip_accents")}
    if tokenizer["kind"] != "wordpiece":  # the only one of earlier versions
        kept["kind"] = tokenizer["kind"]
    if tokenizer.get("rules"):
        kept["rules"] = tokenizer["rules"]
    whole = {
        "image": image, "text": text, "preprocessing": deciding, "vocabulary": list(vocabulary),
        **kept,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def check_signatures(manifest: Manifest) -> None:
    """Refuses signatures that no encoder of this package has.

    Raises:
        MiteError: If so; the first is named.
    """
    how = {"text": _OF_TEXT, "image": _OF_FILES}
    if manifest.preprocessing is None:
        shape = manifest.image["signatures"].get("serving_default", {}).get("shape", [])
        sizes = [size for size in shape[1:] if size]
        whole = shape[:1] == [None] and 0 < len(sizes) == len(shape) - 1
        known = ("features", "float32", shape if whole and prod(sizes) <= _MOST_FEATURES else [])
        how["image"] = dict.fromkeys(("serving_default", "features"), known)
    for model, signatures in how.items():
        described = (manifest.text if model == "text" else manifest.image)["signatures"]
        for name in ("serving_default", *described):
            found = described.get(name, {})
            values = tuple(found.get(key) for key in ("input", "dtype", "shape"))
            if values != signatures.get(name):
                raise MiteError(f"{model}.signatures: no encoder has such a {name}.")


def check_tokenizer(manifest: Manifest, data: bytes) -> list[str]:
    """Compares `tokenizer.json` with the manifest.

    Returns:
        The vocabulary, by id.

    Raises:
        MiteError: If it has another vocabulary or length, or is none.
    """
    claimed = manifest.tokenizer
    try:
        values = json.loads(data)
        entries, cut = values["model"]["vocab"], values["truncation"]["max_length"]
        # SentencePiece has pairs of an entry and its score, in order.
        scored = values["model"]["type"] == "Unigram"
        numbers = {entry: id for id, (entry, _) in enumerate(entries)} if scored else entries
        vocabulary = sorted(numbers, key=numbers.__getitem__)
        counted = [numbers[word] for word in vocabulary] == list(range(len(vocabulary)))
        added = values.get("added_tokens")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MiteError(f"tokenizer.json cannot be read: {error!r}") from error
    if (
        not counted
        or len(numbers) < len(entries)
        or added
        or len(vocabulary) != claimed["vocabulary_size"]
    ):
        raise MiteError(
            f"tokenizer.json has {len(vocabulary) + len(added or ())} words, which are not those "
            f"of the manifest, ids 0 to {claimed['vocabulary_size'] - 1}."
        )
    if cut != claimed["max_length"]:
        raise MiteError(
            f"tokenizer.json cuts at {cut} ids, and the manifest says max_length "
            f"{claimed['max_length']}."
        )
    if manifest.space and "strip_accents" in claimed:
        space = space_of(
            image=manifest.image["encoder"],
            text=manifest.text["encoder"],
            preprocessing=manifest.preprocessing,
            tokenizer=claimed,
            vocabulary=vocabulary,
        )
        if space != manifest.space:
            raise MiteError(
                "the vocabulary, tokenizer, preprocessing or encoders are not those of the export: "
                "they make another space than the manifest says."
            )
    return vocabulary


def check_hubs(manifest: Manifest, path: Path) -> None:
    """Compares the bank of hub correction with the manifest.

    Raises:
        MiteError: If it cannot be read, or belongs to another model.
    """
    hubs = HubCorrection.load(path, advice="Copy the folder again, or export the run again.")
    size = hubs.images.shape[1]
    if hubs.space != manifest.space or size != manifest.embedding_size:
        raise MiteError(
            f"hubs.npz is of another model: of space {hubs.space[:16]!r} and size {size}, and the "
            f"manifest says {manifest.space[:16]!r} and {manifest.embedding_size}."
        )
    if described_hubs(hubs) != manifest.hubs:
        raise MiteError("hubs.npz holds other numbers than the manifest says.")


def described_hubs(hubs: HubCorrection) -> dict[str, Any]:
    """Returns what the manifest says of a bank of hub correction."""
    return {
        "weight": hubs.weight, "neighbours": hubs.neighbours,
        "images": len(hubs.images), "captions": len(hubs.captions),
    }  # fmt: skip


def check_ids(manifest: Manifest, embed: Callable[[np.ndarray], np.ndarray]) -> None:
    """Asks a text encoder whether it knows all ids of the manifest, and no more of them count.

    Raises:
        MiteError: If it does not.
    """
    size, length = (manifest.tokenizer[key] for key in ("vocabulary_size", "max_length"))
    ids = np.full((1, length + _BEHIND), size - 1, np.int32)
    ids[:, length:] = 1 + np.arange(_BEHIND) % (size - 1)
    try:
        counting, all_of_them = embed(ids[:, :length]), embed(ids)
    except Exception as error:  # each runtime has classes of its own
        raise MiteError(f"it refuses token id {size - 1}: {error}") from error
    check_embeddings(manifest, counting, 1)
    if np.abs(counting - all_of_them).max() > _SAME:
        raise MiteError(f"more token ids count than the {length} that the manifest says.")


def check_embeddings(manifest: Manifest, found: np.ndarray, rows: int) -> None:
    """Refuses what is no finite embedding of the size that the manifest says.

    Raises:
        MiteError: If so.
    """
    if found.shape != (rows, manifest.embedding_size) or not np.isfinite(found).all():
        raise MiteError(
            f"it gives an array of shape {list(found.shape)} instead of finite embeddings "
            f"{[rows, manifest.embedding_size]}."
        )
