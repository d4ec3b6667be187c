"""What the manifest says of a run and its encoders."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mite_tf.encoders import Encoders
from mite_tf.export.describe_encoders import describe_encoders, embedding_space
from mite_tf.export.manifest import Manifest
from mite_tf.runs import Run

_PACKAGES = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "tf2onnx", "onnx", "onnxruntime",
             "tokenizers", "numpy")  # fmt: skip


def describe(
    run: Run,
    stage: str | None,
    encoders: Encoders,
    number: int,
    formats: list[str],
    recall: dict[str, Any],
) -> Manifest:
    """Gathers all that the manifest says but files and verification, which come last.

    Args:
        run: The run.
        stage: Stage of the encoders; None for the last.
        encoders: The encoders.
        number: Version of the export.
        formats: Names of the exported forms.
        recall: What `measure_recall` found.
    """
    epoch, _, stage_name = run.best(stage).name.partition("-")
    row = next((row for row in run.history() if row["epoch"] == int(epoch)), {})
    info = run.info["data"]
    tokenizer = encoders.tokenizer
    described = describe_encoders(encoders, formats)
    return Manifest(
        name=run.path.resolve().name,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        embedding_size=encoders.text_encoder.output_shape[-1],
        image=described["image"],
        text={**described["text"], "kind": run.config.text_encoder["name"]},
        preprocessing=encoders.preprocessing and encoders.preprocessing.to_dict(),
        tokenizer={
            "kind": "wordpiece",
            "vocabulary_size": len(tokenizer.vocabulary),
            "max_length": tokenizer.max_length,
            "lower_case": tokenizer.lower_case,
        },
        training={
            "stage": stage_name,
            "epoch": int(epoch),
            "selected_by": run.config.training.select_by,
            "data": {key: info[key] for key in ("fingerprint", "images", "captions")},
        },
        metrics={key: value for key, value in row.items() if key not in ("epoch", "stage")},
        recall=recall,
        verification={},
        formats=formats,
        versions=_versions(),
        space=embedding_space(encoders),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
