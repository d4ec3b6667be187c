"""A run to a folder that an operator can deploy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages
from mite_tf.data.feature_cache import fingerprint_of_model
from mite_tf.errors import MiteError
from mite_tf.export.formats import DEFAULT_FORMATS, check_formats
from mite_tf.export.manifest import Manifest, describe_files
from mite_tf.export.model_card import write_model_card
from mite_tf.export.run_data import data_of, image_inputs
from mite_tf.export.tokenizer_json import check_ids, tokenizer_json
from mite_tf.export.verification.golden import write_golden
from mite_tf.export.versions import next_version, published_when_whole
from mite_tf.progress import CONSOLE
from mite_tf.training import Encoders, Run

# Enough that every range has settled; two runs with other images differ by less than seeds do.
_CALIBRATION_IMAGES = 128
_PACKAGES = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "tf2onnx", "onnx", "onnxruntime",
             "tokenizers", "numpy")  # fmt: skip


def export(
    run: str | Path,
    out: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    int8: bool = False,
    data: str | Path | CaptionedImages | None = None,
    split: str = "dev",
    stage: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Writes the encoders of a run for use without the training code, and verifies them.

    A second export into the same folder makes version 2 of the SavedModels beside version 1 and
    replaces everything else. The folder shows nothing of an export before it is verified, and
    nothing of one that fails.

    Args:
        run: Run folder.
        out: Folder for the export.
        formats: Of `savedmodel`, `onnx`, `litert` and `openvino`.
        int8: Whether to write the ONNX files with 8-bit weights too; needs the data.
        data: Captioned images of the run, to compare tokenizers and recall on and to calibrate
            int8 with; by default those that the run was trained on, where they still are.
        split: Split to measure recall on.
        stage: Export the best encoders of this stage; of the last one by default.
        quiet: Whether to print nothing.

    Returns:
        The manifest of the export.

    Raises:
        MiteError: If the run, the data or a package is missing, something cannot be converted,
            or an exported form does not compute what Keras computes.
    """
    check_formats(formats, int8=int8)
    out = Path(out)
    number = next_version(out)
    source = Run(run)
    encoders = source.encoders(stage)
    table = data_of(source, data)
    if int8 and table is None:
        raise MiteError(
            f"int8 is calibrated with images of the run, and the data of {run} is not where it "
            "was. Say where it is with --data."
        )
    say = (lambda _: None) if quiet else CONSOLE.print
    with published_when_whole(out) as folder:
        say("Writing the tokenizer and the cases to verify with")
        tokenizer_json(encoders.tokenizer).save(str(folder / "tokenizer.json"))
        if table is not None:
            check_ids(folder / "tokenizer.json", encoders.tokenizer, table.captions)
        write_golden(folder, encoders)
        if "savedmodel" in formats:
            say("Writing SavedModels")
            _write_savedmodels(folder, encoders, number)
        if "onnx" in formats:
            say("Converting to ONNX")
            _write_onnx(folder, encoders)
        if int8 and table is not None:
            say("Quantising")
            _write_int8(folder, source, encoders, table)
        for name in ("litert", "openvino"):
            if name in formats:
                from mite_tf.export.keras_formats import write_keras_format

                say(f"Converting to {name}")
                write_keras_format(folder, encoders, name)
        recall: dict[str, Any] = {}
        if "onnx" in formats and table is not None and split in table.splits:
            say(f"Measuring recall on {split}")
            recall = {"split": split, **_recall(folder, source, encoders, table.split(split), int8)}
        manifest = _describe(source, stage, encoders, number, [*formats, *["int8"] * int8], recall)
        manifest = replace(manifest, files=describe_files(folder))
        manifest.write(folder)
        say("Verifying in a fresh process")
        manifest = replace(manifest, verification=_verify(folder))
        write_model_card(folder / "MODEL_CARD.md", manifest)
        manifest = replace(manifest, files=describe_files(folder))
        manifest.write(folder)
    return manifest


def _write_savedmodels(folder: Path, encoders: Encoders, number: int) -> None:
    from mite_tf.export.savedmodel import write_savedmodel
    from mite_tf.export.warmup import write_warmup

    examples = _examples(encoders)
    for name, _, signatures in _signatures(encoders):
        target = folder / "savedmodel" / name / str(number)
        write_savedmodel(target, signatures)
        write_warmup(target, name, signatures, examples[name])
    with resources.as_file(resources.files("mite_tf.export") / "tf_serving") as settings:
        shutil.copytree(settings, folder / "tf_serving")


def _signatures(encoders: Encoders) -> list[tuple[str, Any, dict[str, Any]]]:
    from mite_tf.export.signatures import image_signatures, text_signatures

    image, text = encoders.image_encoder, encoders.text_encoder
    return [
        ("image", image, image_signatures(image, encoders.preprocessing)),
        ("text", text, text_signatures(text, encoders.tokenizer)),
    ]


def _examples(encoders: Encoders) -> dict[str, dict[str, Any]]:
    """One row of input for each signature."""
    from mite_tf.export.verification.images import images

    caption = "Two dogs run across the wet sand."
    ids = encoders.tokenizer.table([caption]).ids[0]
    text = {"serving_default": caption, "token_ids": ids}
    if encoders.preprocessing is None:
        features = np.zeros(encoders.image_encoder.input_shape[1:], np.float32)
        return {"text": text, "image": dict.fromkeys(("serving_default", "features"), features)}
    pixels = np.full((32, 32, 3), 127, np.uint8)  # any size is resized
    file = images()["photo.jpg"]
    image = {"serving_default": file, "pixels": pixels, "pixels_uint8": pixels}
    return {"text": text, "image": image}


def _write_onnx(folder: Path, encoders: Encoders) -> None:
    from mite_tf.export.onnx.convert import convert_image_encoder, convert_text_encoder

    (folder / "onnx").mkdir()
    convert_image_encoder(folder / "onnx" / "image_encoder.onnx", encoders.image_encoder)
    convert_text_encoder(
        folder / "onnx" / "text_encoder.onnx", encoders.text_encoder, encoders.tokenizer.max_length
    )


def _write_int8(folder: Path, run: Run, encoders: Encoders, table: CaptionedImages) -> None:
    from mite_tf.export.onnx.quantize import quantize_dynamically, quantize_statically

    onnx = folder / "onnx"
    quantize_dynamically(onnx / "text_encoder.onnx", onnx / "text_encoder.int8.onnx")
    paths = onnx / "image_encoder.onnx", onnx / "image_encoder.int8.onnx"
    if encoders.preprocessing is None:
        quantize_dynamically(*paths)
        return
    train = table.split("train") if "train" in table.splits else table
    step = max(1, len(train) // _CALIBRATION_IMAGES)
    sample = replace(train, rows=train.rows[::step][:_CALIBRATION_IMAGES])
    quantize_statically(*paths, image_inputs(run, sample, encoders.preprocessing, batch_size=16))


def _recall(
    folder: Path, run: Run, encoders: Encoders, table: CaptionedImages, int8: bool
) -> dict[str, Any]:
    from mite_tf.export.recall import measure_recall

    return measure_recall(
        encoders,
        folder / "onnx",
        image_inputs(run, table, encoders.preprocessing),
        table.captions,
        table.caption_image,
        int8=int8,
    )


def _describe(
    run: Run,
    stage: str | None,
    encoders: Encoders,
    number: int,
    formats: list[str],
    recall: dict[str, Any],
) -> Manifest:
    epoch, _, stage_name = run.best(stage).name.partition("-")
    row = next((row for row in run.history() if row["epoch"] == int(epoch)), {})
    info = run.info["data"]
    tokenizer = encoders.tokenizer
    described = {
        name: {
            "encoder": fingerprint_of_model(encoder),
            "signatures": {
                signature: {
                    "input": each.input.name,
                    "shape": each.input.shape.as_list(),
                    "dtype": each.input.dtype.name,
                }
                for signature, each in signatures.items()
            },
        }
        for name, encoder, signatures in _signatures(encoders)
    }
    return Manifest(
        name=run.path.resolve().name,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        embedding_size=encoders.text_encoder.output_shape[-1],
        image=described["image"],
        text={**described["text"], "kind": run.config.model.text_encoder},
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
            "data": {key: info[key] for key in ("fingerprint", "images", "captions")},
        },
        metrics={key: value for key, value in row.items() if key not in ("epoch", "stage")},
        recall=recall,
        verification={},
        formats=formats,
        versions={package: version(package) for package in _PACKAGES},
    )


def _verify(folder: Path) -> dict[str, Any]:
    """Runs `mite verify` in a process of its own, which knows nothing of Keras or the run."""
    with tempfile.TemporaryDirectory() as other:
        result = Path(other) / "checks.json"
        done = subprocess.run(
            [sys.executable, "-m", "mite_tf.cli", "verify", folder, "--json", result],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MiteError(
                "The export failed its verification and was removed.\n"
                + done.stderr.removeprefix("mite: ").strip()
            )
        return json.loads(result.read_text(encoding="utf-8"))
