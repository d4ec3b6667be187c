"""Verifying an export folder: every form against the answers of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.export.formats import check_runnable
from mite_tf.export.manifest import Manifest, check_files, read_manifest
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
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_runnable(manifest.formats)
    check_files(folder, manifest.files)
    golden = read_golden(folder)
    pixels = _image_inputs(golden, manifest)
    checks = [*_tokens(folder, manifest, golden)]
    if "savedmodel" in manifest.formats:
        checks += _savedmodels(folder, manifest, golden)
    if "onnx" in manifest.formats:
        checks += _onnx(folder, manifest, golden, pixels)
    for name in ("litert", "openvino"):
        if name in manifest.formats:
            checks += _keras_format(folder, manifest, golden, pixels, name)
    failed = [check for check in checks if not check.passed]
    if failed:
        told = "\n".join(str(check).replace("failed", " ", 1) for check in failed)
        raise MiteError(f"{folder}: does not compute what Keras computed:\n{told}")
    return checks


def _image_inputs(golden: Golden, manifest: Manifest) -> np.ndarray:
    """What an image encoder takes: pixels as TensorFlow decodes and resizes, or the features."""
    if golden.features is not None:
        return golden.features
    from mite_tf.data.images import Preprocessing, load_image

    how = Preprocessing.from_dict(manifest.preprocessing or {})
    return np.stack([load_image(str(file), how).numpy() for file in golden.files])


def _tokens(folder: Path, manifest: Manifest, golden: Golden) -> Iterator[Check]:
    """Compares ids with those at export; through the SavedModel, on random captions too."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the class of its errors is `Exception` itself
        raise MiteError(f"{path}: cannot be read: {error}") from error

    def encode(texts: list[str]) -> np.ndarray:
        return np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int32)

    yield compare("tokenizer.json, ids", encode(golden.captions), golden.token_ids, 0)
    if "savedmodel" in manifest.formats:
        model = SavedModel(folder / "savedmodel" / "text" / str(manifest.version))
        texts = random_captions(_RANDOM_CAPTIONS)
        yield compare(
            "tokenizer.json, random captions through the SavedModel",
            model.embed(encode(texts), "token_ids"),
            model.embed(texts),
            _SAME_IDS,
        )


def _savedmodels(folder: Path, manifest: Manifest, golden: Golden) -> Iterator[Check]:
    """Compares every signature of both, with all cases in one batch and one by one."""
    text, image = (
        SavedModel(folder / "savedmodel" / name / str(manifest.version))
        for name in ("text", "image")
    )
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
    yield _refusal("SavedModel, text", partial(text.embed, signature="token_ids"), manifest)
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
        yield from compare_embeddings(f"ONNX, {name}", encoder.embed, cases, expected, _FLOAT)
        if name == "text":
            yield _refusal("ONNX, text", encoder.embed, manifest)
        if "int8" in manifest.formats:
            quantized = OnnxEncoder(folder / "onnx" / f"{name}_encoder.int8.onnx")
            if name == "text":
                yield _refusal("ONNX int8, text", quantized.embed, manifest)
            apart = _apart(quantized.embed(cases), expected)
            yield Check(f"ONNX int8, {name}, mean of 1 - cosine", float(apart.mean()), _INT8)
    if manifest.preprocessing is not None:
        files = [file.read_bytes() for file in golden.files]
        reference = np.stack([pixels_of(data, manifest.preprocessing) for data in files])
        levels = np.abs(reference - pixels).mean(axis=(1, 2, 3)).max()
        yield Check("Pillow's pixels, mean of 255 levels", float(levels), _PIXELS)
        apart = _apart(encoder.embed(reference), golden.image_embeddings)
        yield Check("ONNX, image, Pillow's pixels, 1 - cosine", float(apart.max()), _REFERENCE)


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
    spare = manifest.tokenizer["max_length"] - golden.token_ids.shape[1]
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
