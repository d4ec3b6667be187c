"""A run to a folder that an operator can deploy."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mite_tf.data import CaptionedImages
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.export.describe import describe
from mite_tf.export.formats import DEFAULT_FORMATS, check_formats
from mite_tf.export.manifest import Manifest, describe_files, read_manifest
from mite_tf.export.model_card import write_model_card
from mite_tf.export.run_data import data_of, image_inputs
from mite_tf.export.tokenizer_json import check_ids, tokenizer_json
from mite_tf.export.verification.golden import write_golden
from mite_tf.export.versions import next_version, published_when_whole
from mite_tf.export.write_forms import write_int8, write_onnx, write_savedmodels
from mite_tf.progress import CONSOLE
from mite_tf.runs import Run


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
        MiteError: If the run, the data, the split or a package is missing, something cannot be
            converted, or an exported form does not compute what Keras computes.
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
    measured = table.split(split) if "onnx" in formats and table is not None else None
    say = (lambda _: None) if quiet else CONSOLE.print
    with published_when_whole(out) as folder:
        say("Writing the tokenizer and the cases to verify with")
        tokenizer_json(encoders.tokenizer).save(str(folder / "tokenizer.json"))
        if table is None:
            say(f"The data of {run} is not where it was: no recall. Say where it is with --data")
        else:
            check_ids(folder / "tokenizer.json", encoders.tokenizer, table.captions)
        write_golden(folder, encoders)
        for name in ("litert", "openvino"):
            if name in formats:
                from mite_tf.export.keras_formats import write_keras_format

                say(f"Converting to {name}")
                write_keras_format(folder, encoders, name)
        if "savedmodel" in formats:
            say("Writing SavedModels")
            write_savedmodels(folder, encoders, number)
        if "onnx" in formats:
            say("Converting to ONNX")
            write_onnx(folder, encoders)
        if int8 and table is not None:
            say("Quantising")
            write_int8(folder, source, encoders, table)
        recall: dict[str, Any] = {}
        if measured is not None:
            say(f"Measuring recall on {split}")
            recall = {"split": split, **_recall(folder, source, encoders, measured, int8)}
        manifest = describe(source, stage, encoders, number, [*formats, *["int8"] * int8], recall)
        compared = len(table.captions) if table is not None else 0
        manifest = replace(
            manifest,
            tokenizer={**manifest.tokenizer, "captions_compared": compared},
            files=describe_files(folder),
        )
        manifest.write(folder)
        say("Verifying in a fresh process")
        manifest = replace(manifest, verification=_verify(folder))
        write_model_card(folder / "MODEL_CARD.md", manifest)
        manifest = replace(manifest, files=describe_files(folder))
        manifest.write(folder)
    return read_manifest(out)


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
