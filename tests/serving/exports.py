"""Exports of encoders with random weights, in seconds and without a training."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mite_tf.data.images import Preprocessing, decode_image, preprocess
from mite_tf.encoders import Encoders
from mite_tf.export.claims import described_hubs, space_of
from mite_tf.export.manifest import HUBS, Manifest, describe_files, read_manifest
from mite_tf.export.onnx.convert import write_onnx
from mite_tf.export.savedmodel import write_savedmodels
from mite_tf.export.signatures import signatures_of
from mite_tf.export.tokenizer_json import tokenizer_json
from mite_tf.export.versions import published_when_whole
from mite_tf.models import ImageEncoder, image_head, small_cnn
from mite_tf.models.text_encoder import TEXT_ENCODERS
from mite_tf.retrieval import HubCorrection
from mite_tf.text import WordPieceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = ["[PAD]", "[UNK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", ","]
VOCABULARY += ["a", "dog", "dogs", "run", "runs", "red", "green", "circle", "square", "left"][1:]


class Keras:
    """What the Keras encoders of an export give: the truth of every test."""

    def __init__(self, encoders):
        self.encoders = encoders

    def text(self, captions):
        ids = self.encoders.tokenizer(tf.constant(list(captions)))
        return keras.ops.convert_to_numpy(self.encoders.text_encoder(ids, training=False))

    def images(self, files):
        pixels = [preprocess(decode_image(tf.constant(each)), self.encoders.preprocessing)
                  for each in files]  # fmt: skip
        return keras.ops.convert_to_numpy(
            self.encoders.image_encoder(np.stack(pixels), training=False)
        )


class Export(NamedTuple):
    path: Path
    keras: Keras


def make_encoders(
    *,
    text: str = "bag-of-words",
    seed: int = 0,
    vocabulary: list[str] = VOCABULARY,
    backbone: keras.Model | None = None,
    features: int = 0,
    max_length: int = 12,
    embedding_size: int = 16,
    **options: int,
) -> Encoders:
    """Encoders with random weights, biases among them, that are far from any constant.

    Args:
        text: Kind of the text encoder.
        seed: Another one gives other weights.
        vocabulary: Words of the tokenizer.
        backbone: From pixels; a tiny CNN by default.
        features: Size of precomputed features, instead of images.
        max_length: Ids at which captions are cut.
        embedding_size: Size of the embeddings.
        options: Of the text encoder.
    """
    if features:
        image = ImageEncoder(None, image_head((features,), embedding_size=embedding_size))
    else:
        backbone = backbone or small_cnn(image_size=32, width=8)
        head = image_head(backbone.output_shape[1:], embedding_size=embedding_size)
        image = ImageEncoder(backbone, head)
    encoders = Encoders(
        image,
        TEXT_ENCODERS[text](len(vocabulary), embedding_size=embedding_size, **options),
        WordPieceTokenizer(vocabulary, max_length=max_length),
        None if features else Preprocessing(*image.input_shape[1:3]),
    )
    random = np.random.default_rng(seed)
    for encoder in (encoders.image_encoder, encoders.text_encoder):
        for weight in encoder.weights:
            if weight.dtype == "float32" and "moving" not in weight.path:
                scale = (
                    0.5 / np.sqrt(max(1, np.prod(weight.shape[:-1]))) if weight.ndim > 2 else 0.3
                )
                weight.assign(random.normal(scale=scale, size=weight.shape))
    return encoders


def write_export(folder: str | Path, encoders: Encoders, *, kind: str = "bag-of-words") -> Manifest:
    """Writes SavedModels and ONNX of encoders, as `mite export` does for those of a run.

    A second one into the same folder is version 2.

    Args:
        folder: Folder for the export.
        encoders: The encoders.
        kind: Kind of the text encoder, for the manifest.
    """
    with published_when_whole(folder) as (staging, number):
        described = {
            model: {
                "encoder": f"{model} {number}",
                "signatures": {
                    name: {
                        "input": each.input.name,
                        "shape": each.input.shape.as_list(),
                        "dtype": each.input.dtype.name,
                    }
                    for name, each in signatures.items()
                },
            }
            for model, signatures in signatures_of(encoders).items()
        }
        tokenizer_json(encoders.tokenizer).save(str(staging / "tokenizer.json"))
        write_savedmodels(staging, encoders, number)
        write_onnx(staging, encoders)
        manifest = Manifest(
            name="random",
            version=number,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            embedding_size=encoders.text_encoder.output_shape[-1],
            image=described["image"],
            text={**described["text"], "kind": kind},
            preprocessing=encoders.preprocessing and encoders.preprocessing.to_dict(),
            tokenizer={
                "kind": "wordpiece",
                "vocabulary_size": len(encoders.tokenizer.vocabulary),
                "max_length": encoders.tokenizer.max_length,
                "lower_case": encoders.tokenizer.lower_case,
                "strip_accents": encoders.tokenizer.strip_accents,
            },
            training={"stage": "none", "epoch": 0, "data": {}},
            metrics={},
            recall={},
            verification={},
            formats=["savedmodel", "onnx"],
            versions={},
            nested_sizes=[4],
            files=describe_files(staging),
        )
        manifest.write(staging)
    return manifest


def add_bank(folder: Path, *, rows: int = 40, seed: int = 0) -> None:
    """Gives an export what its manifest may have: the hash of its space, and hubs of noise."""
    manifest = read_manifest(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    space = space_of(
        image=manifest.image["encoder"],
        text=manifest.text["encoder"],
        preprocessing=manifest.preprocessing,
        tokenizer=manifest.tokenizer,
        vocabulary=sorted(vocabulary, key=vocabulary.__getitem__),
    )
    noise = np.random.default_rng(seed).normal(size=(2, rows, manifest.embedding_size))
    hubs = HubCorrection(*noise, neighbours=5, space=space)
    hubs.save(folder / HUBS)
    known = {"space": space, "hubs": described_hubs(hubs), "files": describe_files(folder)}
    replace(manifest, **known).write(folder)
