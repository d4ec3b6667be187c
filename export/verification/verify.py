"""Verifying an export folder: every form against the answers of Keras."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.claims import check_hubs, check_ids, check_signatures, check_tokenizer
from mite_tf.export.formats import FORMATS, check_runnable
from mite_tf.export.manifest import HUBS, Manifest, Version, of_one_version
from mite_tf.export.pixels import pixels_of
from mite_tf.export.runtimes import Embed, OnnxEncoder, SavedModel, load_litert, load_openvino
from mite_tf.export.verification.cases import random_captions
from mite_tf.export.verification.check import Check, compare, compare_embeddings
from mite_tf.export.verification.golden import Golden, read_golden

# How far a form may be from Keras; embeddings have unit norm.
# Other kernels, which a batch of another size takes too. Found: up to 4e-6 in SavedModels, and 2e-6
# in ONNX over all encoders and backbones of the tests.
_FLOAT = 1e-4
# 8 bits move an embedding, odd images most; what it costs in recall is measured apart.
# As 1 - cosine, the mean of the cases.
_INT8 = 0.1
# Pixels of Pillow against those of the graph, in grey levels of 255, the mean of an image.
_PIXELS = 0.01
# Embeddings of Pillow's pixels against those of Keras, as 1 - cosine.
_REFERENCE = 1e-4
# Other ids give another embedding altogether.
_SAME_IDS = 1e-6
_RANDOM_CAPTIONS = 1000
# Of a vocabulary; a larger one is asked every second word, or third, and so on.
_MOST_WORDS = 10_000
# Letters before the entries of a vocabulary that stand within words.
_BEGINNINGS = 3
_RECORD = "assets.extra/mite_tf.json"
_PREPROCESSING = ("height", "width", "resize", "value_range", "orientation")
_DEFAULT = "serving_default"


def verify(folder: str | Path) -> list[Check]:
    """Compares every exported form with what Keras computed when the export was made.

    Neither the training code nor a Keras model is needed: the folder holds cases and answers.

    Returns:
        The checks, all passed.

    Raises:
        MiteError: If the folder is no export, a package is missing, the files are not those of
            the manifest, a form cannot be loaded, or a difference exceeds its tolerance.
    """
    return of_one_version(folder, _verify)


def _verify(version: Version) -> list[Check]:
    folder, manifest = version.root, version.manifest
    check_runnable(manifest.formats)
    version.check()
    golden = read_golden(folder)
    tokenizer = _tokenizer(version.path("tokenizer.json"))
    checks = [*_claims(version, golden), _token_ids(tokenizer, golden)]
    _refuse_failed(version, checks)  # what follows takes the manifest at its word
    pixels = _image_inputs(golden, manifest)
    if "savedmodel" in manifest.formats:
        checks += [*_words_in_graph(version, tokenizer), *_savedmodels(version, golden)]
    if "onnx" in manifest.formats:
        checks += _onnx(folder, manifest, golden, pixels)
    for name in ("litert", "openvino"):
        if name in manifest.formats:
            checks += _keras_format(folder, manifest, golden, pixels, name)
    _refuse_failed(version, checks)
    return checks


def _refuse_failed(version: Version, checks: Iterable[Check]) -> None:
    if failed := [check for check in checks if not check.passed]:
        told = "\n".join(str(check).replace("failed", " ", 1) for check in failed)
        raise MiteError(f"{version.folder}: does not compute what Keras computed:\n{told}")


def _claims(version: Version, golden: Golden) -> Iterator[Check]:
    """Compares what the manifest says with the files, and with each other."""
    manifest = version.manifest
    data = version.read("tokenizer.json") if "tokenizer.json" in manifest.files else b""
    yield _held("manifest, signatures", partial(check_signatures, manifest))
    yield _held("manifest, tokenizer.json", partial(check_tokenizer, manifest, data))
    longest, size = golden.token_ids.shape[1], golden.caption_embeddings.shape[-1]
    yield _same("manifest, max_length", manifest.tokenizer["max_length"], longest)
    yield _same("manifest, embedding_size", manifest.embedding_size, size)
    yield _same("manifest, formats", {*manifest.formats}, {*_forms(manifest.files)})
    if manifest.hubs or HUBS in manifest.files:
        yield _held("manifest, hubs.npz", partial(check_hubs, manifest, version.path(HUBS)))
    for name in ("text", "image") if "savedmodel" in manifest.formats else ():
        record = f"savedmodel/{name}/{manifest.version}/{_RECORD}"
        if record not in manifest.files:  # of older exports
            continue
        described = manifest.text if name == "text" else manifest.image
        said = {"version": manifest.version, "space": manifest.space, "model": name, **described}
        try:
            found = dict(json.loads(version.read(record)))
        except (ValueError, TypeError, RecursionError) as error:
            raise MiteError(f"{version.path(record)}: cannot be read: {error}") from error
        both = {key: (said[key], found[key]) for key in sorted(said.keys() & found.keys())}
        wrong = [key for key, (here, there) in both.items() if here != there]
        yield _same(f"manifest, record of the SavedModel of {name}", wrong, [])


def _forms(files: Iterable[str]) -> Iterator[str]:
    for name in files:
        if (first := name.split("/")[0]) in FORMATS:
            yield first
        if name.endswith(".int8.onnx"):
            yield "int8"


def _held(name: str, check: Callable[[], object]) -> Check:
    """Whether a check raises nothing."""
    try:
        check()
    except MiteError as error:
        return Check(name, inf, 0, str(error))
    return Check(name, 0, 0)


def _same(name: str, said: object, found: object) -> Check:
    return Check(name, 0, 0) if said == found else Check(name, inf, 0, f"{said}, but it is {found}")


def _image_inputs(golden: Golden, manifest: Manifest) -> np.ndarray:
    """What an image encoder takes: pixels as TensorFlow decodes and resizes, or the features."""
    if golden.features is not None:
        return golden.features
    from mite_tf.data.images import Preprocessing, load_image

    said = manifest.preprocessing or {}
    how = Preprocessing.from_dict({key: said[key] for key in _PREPROCESSING if key in said})
    return np.stack([load_image(str(file), how).numpy() for file in golden.files])


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the class of its errors is `Exception` itself
        raise MiteError(f"{path}: cannot be read: {error}") from error


def _encoded(tokenizer: Any, texts: list[str]) -> np.ndarray:
    return np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int32)


def _token_ids(tokenizer: Any, golden: Golden) -> Check:
    """Compares ids with those at export."""
    found = _encoded(tokenizer, golden.captions)
    return compare("tokenizer.json, ids", found, golden.token_ids, 0)


def _words_in_graph(version: Version, tokenizer: Any) -> Iterator[Check]:
    """Compares `tokenizer.json` with the graph, by embeddings of ids and of texts."""
    model = SavedModel(version.path(f"savedmodel/text/{version.manifest.version}"))
    for what, texts in (
        ("random captions", random_captions(_RANDOM_CAPTIONS)),
        ("each word", _words(tokenizer)),
    ):
        starts = range(0, len(texts), _RANDOM_CAPTIONS)
        parts = [texts[start : start + _RANDOM_CAPTIONS] for start in starts]
        by_ids = [model.embed(_encoded(tokenizer, part), "token_ids") for part in parts]
        by_text = [model.embed(part) for part in parts]
        yield compare(
            f"tokenizer.json, {what} through the SavedModel",
            np.concatenate(by_ids),
            np.concatenate(by_text),
            _SAME_IDS,
        )


def _words(tokenizer: Any) -> list[str]:
    """Texts that hold the entries of a vocabulary, those within words behind some beginning."""
    numbers = tokenizer.get_vocab()
    within = {
        word.removeprefix("##"): number for word, number in numbers.items() if word[:2] == "##"
    }
    texts = sorted(numbers.keys() - {f"##{rest}" for rest in within})
    for first in [text for text in texts if len(text) == 1 and text.isalnum()][:_BEGINNINGS]:
        tried = [f"{first}{rest}" for rest in sorted(within)]
        for text, encoding in zip(tried, tokenizer.encode_batch(tried), strict=True):
            if within[text[1:]] in encoding.ids:
                texts.append(text)
                del within[text[1:]]
    return texts[:: 1 + len(texts) // _MOST_WORDS]


def _savedmodels(version: Version, golden: Golden) -> Iterator[Check]:
    """Compares every signature of both, with all cases in one batch and one by one."""
    manifest = version.manifest
    text, image = (
        SavedModel(version.path(f"savedmodel/{name}/{manifest.version}"))
        for name in ("text", "image")
    )
    for name, said, loaded in (("text", manifest.text, text), ("image", manifest.image, image)):
        yield _same(f"SavedModel, {name}, signatures", said["signatures"], loaded.signatures())
    files = [file.read_bytes() for file in golden.files]
    images = ("features", golden.features) if golden.features is not None else (_DEFAULT, files)
    for name, model, (signature, inputs), expected in (
        ("text", text, (_DEFAULT, golden.captions), golden.caption_embeddings),
        ("text", text, ("token_ids", golden.token_ids), golden.caption_embeddings),
        ("image", image, images, golden.image_embeddings),
    ):
        yield from compare_embeddings(
            f"SavedModel, {name}, {signature}",
            partial(model.embed, signature=signature),
            inputs,
            expected,
            _FLOAT,
        )
    yield from _ids("SavedModel, text", partial(text.embed, signature="token_ids"), manifest)
    if not files:
        return
    from mite_tf.data.images import decode_image

    how = (manifest.preprocessing or {}).get("orientation", "ignored")
    pixels = [decode_image(data, how)[None].numpy() for data in files]
    for signature in ("pixels", "pixels_uint8"):
        found = np.concatenate([image.embed(each, signature) for each in pixels])
        name = f"SavedModel, image, {signature}"
        yield compare(name, found, golden.image_embeddings, _FLOAT)


def _onnx(folder: Path, manifest: Manifest, golden: Golden, pixels: np.ndarray) -> Iterator[Check]:
    """Compares both encoders, their quantised files, and Pillow's pixels with the graph's."""
    for name, cases, expected in (
        ("text", golden.token_ids, golden.caption_embeddings),
        ("image", pixels, golden.image_embeddings),
    ):
        encoder = OnnxEncoder(folder / "onnx" / f"{name}_encoder.onnx")
        said = (manifest.text if name == "text" else manifest.image).get("onnx", {})
        paths = {"file": f"onnx/{name}_encoder.onnx", "int8": f"onnx/{name}_encoder.int8.onnx"}
        found = {key: path for key, path in paths.items() if path in manifest.files}
        yield _same(f"ONNX, {name}, files and input", said, {**found, **encoder.input()})
        yield from compare_embeddings(f"ONNX, {name}", encoder.embed, cases, expected, _FLOAT)
        if name == "text":
            yield from _ids("ONNX, text", encoder.embed, manifest)
        if "int8" in manifest.formats:
            quantized = OnnxEncoder(folder / "onnx" / f"{name}_encoder.int8.onnx")
            if name == "text":
                yield from _ids("ONNX int8, text", quantized.embed, manifest)
            apart = _apart(quantized.embed(cases), expected)
            yield Check(f"ONNX int8, {name}, mean of 1 - cosine", float(apart.mean()), _INT8)
    if manifest.preprocessing is not None:
        files = [file.read_bytes() for file in golden.files]
        reference = np.stack([pixels_of(data, manifest.preprocessing) for data in files])
        levels = np.abs(reference - pixels).mean(axis=(1, 2, 3)).max()
        yield Check("Pillow's pixels, mean of 255 levels", float(levels), _PIXELS)
        apart = _apart(encoder.embed(reference), golden.image_embeddings)
        yield Check("ONNX, image, Pillow's pixels, 1 - cosine", float(apart.max()), _REFERENCE)


def _ids(name: str, embed: Embed, manifest: Manifest) -> Iterator[Check]:
    """Compares which ids a form knows, and how many count, with the manifest."""
    yield _held(f"{name}, token ids and max_length", partial(check_ids, manifest, embed))
    yield _refusal(name, embed, manifest)


def _refusal(name: str, embed: Embed, manifest: Manifest) -> Check:
    """Counts the numbers on either side of the token ids that a form takes for one."""
    taken = 0
    for wrong in (-1, manifest.tokenizer["vocabulary_size"]):
        ids = np.zeros((1, manifest.tokenizer["max_length"]), np.int32)
        ids[0, 0] = wrong
        try:
            taken += int(np.isfinite(embed(ids)).all())
        except (MiteError, RuntimeError, ValueError):
            continue
    return Check(f"{name}, numbers taken that are no token ids", float(taken), 0)


def _apart(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """1 - cosine of each row."""
    return 1 - np.einsum("nd,nd->n", found, expected, dtype=np.float64)


def _keras_format(
    folder: Path, manifest: Manifest, golden: Golden, pixels: np.ndarray, name: str
) -> Iterator[Check]:
    """Compares both encoders of a format, `litert` or `openvino`."""
    suffix, load = {"litert": (".tflite", load_litert), "openvino": (".xml", load_openvino)}[name]
    spare = max(0, manifest.tokenizer["max_length"] - golden.token_ids.shape[1])
    for encoder, cases, expected in (
        ("text", np.pad(golden.token_ids, [(0, 0), (0, spare)]), golden.caption_embeddings),
        ("image", pixels, golden.image_embeddings),
    ):
        path = folder / name / f"{encoder}_encoder{suffix}"
        try:
            what, embed = f"{name}, {encoder}", load(path)
            yield from compare_embeddings(what, embed, cases, expected, _FLOAT)
            if encoder == "text":
                yield _refusal(what, embed, manifest)
        except (RuntimeError, ValueError) as error:
            raise MiteError(f"{path}: cannot be run: {error}") from error
