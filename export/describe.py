"""What an export says of itself: its manifest, the record of each SavedModel, the model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tensorflow as tf
from jinja2 import Environment, PackageLoader, StrictUndefined

from mite_tf.data.feature_cache import fingerprint_of_model
from mite_tf.encoders import Encoders
from mite_tf.evaluation import against_chance
from mite_tf.export.claims import described_hubs, space_of
from mite_tf.export.manifest import ExportedFrom, Manifest
from mite_tf.export.signatures import signatures_of
from mite_tf.files import write_text
from mite_tf.models import backbone_warnings
from mite_tf.models.resizing import picture_input
from mite_tf.retrieval import HubCorrection
from mite_tf.text import TextTokenizer, WordPieceTokenizer

_PACKAGES = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "keras-hub", "tf2onnx", "onnx",
             "onnxruntime", "tokenizers", "numpy")  # fmt: skip


def describe(
    encoders: Encoders,
    about: ExportedFrom,
    *,
    name: str,
    number: int,
    formats: list[str],
    recall: dict[str, Any],
    captions_compared: int,
    hubs: HubCorrection | None = None,
) -> Manifest:
    """Gathers all that the manifest says but files and verification, which come last."""
    preprocessing = encoders.preprocessing
    described = describe_encoders(encoders, formats)
    licences = {
        "image": getattr(picture_input(encoders.image_encoder.backbone), "licence", ""),
        "text": getattr(getattr(encoders.text_encoder, "backbone", None), "licence", ""),
    }
    for model, key, value in (
        ("text", "kind", about.text_encoder),
        ("text", "backbone", about.text_backbone),
        ("image", "backbone", about.image_backbone),
        *((model, "licence", licence) for model, licence in licences.items()),
    ):
        if value:
            described[model][key] = value
    training: dict[str, Any] = {"data": about.data} if about.data else {}
    if about.stage:
        training |= {key: getattr(about, key) for key in ("stage", "epoch", "selected_by")}
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return Manifest(
        name=name,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        embedding_size=encoders.text_encoder.output_shape[-1],
        image=described["image"],
        text=described["text"],
        preprocessing=None if preprocessing is None else preprocessing.to_dict(),
        tokenizer={**_tokenizer(encoders), "captions_compared": captions_compared},
        training=training,
        metrics=dict(about.metrics),
        recall=recall,
        verification={},
        formats=formats,
        versions=versions,
        warnings=backbone_warnings(encoders.image_encoder.backbone),
        nested_sizes=[*about.nested_sizes],
        space=embedding_space(encoders),
        hubs=described_hubs(hubs) if hubs else None,
    )


def _tokenizer(encoders: Encoders) -> dict[str, Any]:
    tokenizer = encoders.tokenizer
    return {
        "kind": tokenizer.kind,
        "vocabulary_size": len(tokenizer.vocabulary),
        "max_length": tokenizer.max_length,
        "lower_case": tokenizer.lower_case,
        "strip_accents": tokenizer.strip_accents,
        **({} if isinstance(tokenizer, WordPieceTokenizer) else {"rules": rules_of(tokenizer)}),
    }


def rules_of(tokenizer: TextTokenizer) -> str:
    """Returns a hash of what beside its vocabulary makes a tokenizer."""
    return hashlib.sha256(json.dumps(tokenizer.settings(), sort_keys=True).encode()).hexdigest()


def describe_encoders(encoders: Encoders, formats: Collection[str] = ()) -> dict[str, Any]:
    """Returns what the manifest says of each encoder, `image` and `text`.

    For each its hash (`encoder`), its `output`, its `signatures` and, with ONNX, `onnx`: the
    files, and what they take. A size of None is any.
    """
    models = {"image": encoders.image_encoder, "text": encoders.text_encoder}
    [image_input] = encoders.image_encoder.inputs
    onnx_inputs = {
        "image": tf.TensorSpec(image_input.shape, tf.float32, image_input.name),
        "text": tf.TensorSpec((None, None), tf.int32, "token_ids"),
    }
    described: dict[str, Any] = {}
    for name, endpoints in signatures_of(encoders).items():
        size = models[name].output_shape[-1]
        described[name] = {
            "encoder": fingerprint_of_model(models[name]),
            "output": {"output": "embedding", "shape": [None, size], "dtype": "float32"},
            "signatures": {key: _described(each.input) for key, each in endpoints.items()},
        }
        if "onnx" in formats:
            described[name]["onnx"] = {
                "file": f"onnx/{name}_encoder.onnx",
                **({"int8": f"onnx/{name}_encoder.int8.onnx"} if "int8" in formats else {}),
                **_described(onnx_inputs[name]),
            }
    return described


def _described(specification: tf.TensorSpec) -> dict[str, Any]:
    return {
        "input": specification.name,
        "shape": specification.shape.as_list(),
        "dtype": specification.dtype.name,
    }


def embedding_space(encoders: Encoders) -> str:
    """Returns a hash of all that decides an embedding: equal spaces can be compared.

    The form does not matter: SavedModel, ONNX and int8 of one export share a space.
    """
    preprocessing = encoders.preprocessing
    return space_of(
        image=fingerprint_of_model(encoders.image_encoder),
        text=fingerprint_of_model(encoders.text_encoder),
        preprocessing=None if preprocessing is None else preprocessing.to_dict(),
        tokenizer=_tokenizer(encoders),
        vocabulary=encoders.tokenizer.vocabulary,
    )


def write_model_card(path: Path, manifest: Manifest) -> None:
    """Writes what a verified manifest says as a page of Markdown, for people."""
    environment = Environment(
        loader=PackageLoader("mite_tf.export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"recalls": _recalls, "below_chance": _below_chance}
    template = environment.get_template("model_card.md.jinja")
    write_text(path, template.render(manifest=manifest))


def _below_chance(metrics: Mapping[str, Any]) -> str:
    """What is to be said where an epoch did not beat chance; nothing of older runs."""
    keys = ("rsum", "chance_rsum", "chance_rsum_deviation")
    return against_chance(*(metrics[key] for key in keys)) if keys[1] in metrics else ""


def _recalls(scores: Mapping[str, Any]) -> str:
    """Both directions as `R@1 / 5 / 10`, in columns of a table."""
    return " | ".join(
        " / ".join(f"{scores[direction][k]:.1f}" for k in ("r1", "r5", "r10"))
        for direction in ("image_to_text", "text_to_image")
    )
