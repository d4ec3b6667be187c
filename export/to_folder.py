"""Encoders to a folder that an operator can deploy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.export.describe import describe, embedding_space, write_model_card
from mite_tf.export.formats import DEFAULT_FORMATS, check_formats, refuse_pattern
from mite_tf.export.keras_formats import write_keras_format
from mite_tf.export.manifest import (
    HUBS,
    ExportedFrom,
    Manifest,
    describe_files,
    read_manifest,
)
from mite_tf.export.recall import image_batches, measure_recall
from mite_tf.export.savedmodel import write_savedmodels
from mite_tf.export.tokenizer_json import check_ids, tokenizer_json
from mite_tf.export.verification.golden import write_golden
from mite_tf.export.versions import published_when_whole
from mite_tf.models.word_average import packing
from mite_tf.progress import say as say_line
from mite_tf.retrieval import HubCorrection

# `mite`, which ends with the process that has started it: then its standard input does.
_VERIFY = """
import os, sys, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
from mite_tf.cli import main
sys.exit(main(sys.argv[1:]))
"""
# Enough that the ranges of activations have settled.
_CALIBRATION_IMAGES = 128


def export(
    encoders: Encoders,
    out: str | Path,
    *,
    name: str | None = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    int8: bool = False,
    table: CaptionedImages | None = None,
    split: str = "dev",
    features: PrecomputedFeatures | None = None,
    about: ExportedFrom | None = None,
    hubs: HubCorrection | None = None,
    quiet: bool = False,
) -> Manifest:
    """Writes encoders for use without the training code, and verifies them.

    A second export into the same folder makes version 2 beside version 1, and one rename makes all
    readers see it. The folder shows nothing of an export before it is verified, and nothing of one
    that fails. An export that finds another one at work in its folder waits for it.

    Args:
        encoders: The encoders, such as `Encoders.of(model, tokenizer)` of a trained model.
        out: Folder for the export.
        name: Name in the manifest and on the model card; that of the folder by default.
        formats: Of `savedmodel`, `onnx`, `litert` and `openvino`.
        int8: Whether to write the ONNX files with 8-bit weights too; needs the table.
        table: Captioned images to compare tokenizers and recall on and to calibrate int8 with.
        split: Split to measure recall on.
        features: Features of the images, for encoders that start there.
        about: Where the encoders come from, for the manifest.
        hubs: Hub correction of these encoders, to write as `hubs.npz`; none by default.
        quiet: Whether to print nothing.

    Returns:
        The manifest of the export.

    Raises:
        MiteError: If the split or a package is missing, something cannot be converted, or an
            exported form does not compute what Keras computes.

    Example:
        >>> export("runs/first", "exports/first")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: export() takes Encoders; received 'runs/first'. For a run:
        mite_tf.Run("runs/first").export(out).
    """
    if not isinstance(encoders, Encoders):
        path = getattr(encoders, "path", encoders)
        raise MiteError(
            f"export() takes Encoders; received {encoders!r}. For a run: "
            f'mite_tf.Run("{path}").export(out).'
        )
    check_formats(formats, int8=int8)
    out = Path(out)
    if "savedmodel" in formats:
        refuse_pattern(os.path.realpath(out))
    if int8 and table is None:
        raise MiteError("int8 is calibrated with images: give table=, captioned images.")
    measured = table.split(split) if "onnx" in formats and table is not None else None
    if measured is not None and encoders.preprocessing is None and features is None:
        raise MiteError("These encoders start at features: give features= of the table's images.")
    say = (lambda _: None) if quiet else say_line
    # Served by operations that every runtime knows.
    portable = packing(encoders.text_encoder, False)
    with published_when_whole(out, say=say) as (folder, number), portable:
        say("Writing the tokenizer and the cases to verify with")
        tokenizer_json(encoders.tokenizer).save(str(folder / "tokenizer.json"))
        captions = [] if table is None else table.captions
        words = encoders.tokenizer.vocabulary
        check_ids(folder / "tokenizer.json", encoders.tokenizer, [*captions, *words])
        write_golden(folder, encoders)
        if hubs is not None:
            hubs.replace(space=embedding_space(encoders)).save(folder / HUBS)
        for form in ("litert", "openvino"):
            if form in formats:
                say(f"Converting to {form}")
                write_keras_format(folder, encoders, form)
        if "savedmodel" in formats:
            say("Writing SavedModels")
            write_savedmodels(folder, encoders, number)
        if "onnx" in formats:
            from mite_tf.export.onnx.convert import write_onnx

            say("Converting to ONNX")
            write_onnx(folder, encoders)
        if int8 and table is not None:
            from mite_tf.export.onnx.quantize import write_int8

            say("Quantising")
            write_int8(folder / "onnx", _calibration(encoders, table))
        recall: dict[str, Any] = {}
        if measured is not None:
            say(f"Measuring recall on {split}")
            scores = measure_recall(encoders, folder / "onnx", measured, features, int8=int8)
            recall = {"split": split, **scores}
        manifest = describe(
            encoders,
            about or ExportedFrom(data={} if table is None else _told(table)),
            name=name or out.resolve().name,
            number=number,
            formats=[*formats, *["int8"] * int8],
            recall=recall,
            captions_compared=len(captions),
            hubs=hubs,
        )
        replace(manifest, files=describe_files(folder)).write(folder)
        say("Verifying in a fresh process")
        manifest = replace(manifest, verification=_verify(folder))
        write_model_card(folder / "MODEL_CARD.md", manifest)
        replace(manifest, files=describe_files(folder)).write(folder)
        return read_manifest(folder)


def _told(table: CaptionedImages) -> dict[str, Any]:
    captions = {name: len(table.split(name).captions) for name in table.splits}
    return {"fingerprint": table.fingerprint(), "images": table.splits, "captions": captions}


def _calibration(encoders: Encoders, table: CaptionedImages) -> Iterator[np.ndarray] | None:
    """Batches of images of the train split; None for encoders that start at features."""
    if encoders.preprocessing is None:
        return None
    train = table.split("train") if "train" in table.splits else table
    step = max(1, len(train) // _CALIBRATION_IMAGES)
    sample = replace(train, rows=train.rows[::step][:_CALIBRATION_IMAGES])
    return image_batches(encoders, sample, None, 16)


def _verify(folder: Path) -> dict[str, Any]:
    """Runs `mite verify` in a process of its own, which knows nothing of Keras or the training."""
    read, write = os.pipe()
    try:
        with tempfile.TemporaryDirectory() as other:
            result = Path(other) / "checks.json"
            done = subprocess.run(
                [sys.executable, "-c", _VERIFY, "verify", folder, "--json", result],
                stdin=read,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                failed = "failed its verification" if done.returncode == 1 else "cannot be verified"
                raise MiteError(
                    f"The export {failed} and was removed.\n"
                    + done.stderr.removeprefix("mite: ").strip()
                )
            return json.loads(result.read_text(encoding="utf-8"))
    finally:
        os.close(read)
        os.close(write)
