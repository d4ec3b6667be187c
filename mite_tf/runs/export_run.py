"""A run to an export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mite_tf.data import CaptionedImages
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.errors import MiteError
from mite_tf.export.formats import DEFAULT_FORMATS, check_formats
from mite_tf.models.resizing import picture_input
from mite_tf.progress import say
from mite_tf.runs.evaluate import table_of
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.hubs import hubs as hubs_of
from mite_tf.runs.hubs import hubs_for

if TYPE_CHECKING:
    from mite_tf.export import Manifest


def export_run(
    run: str | Path | RunFolder,
    out: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    int8: bool = False,
    data: str | Path | CaptionedImages | None = None,
    split: str = "dev",
    stage: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Writes the best encoders of a run for use without the training code, and verifies them.

    Args:
        run: The run, or its folder.
        out: Folder for the export; see `mite_tf.export.export`.
        formats: Of `savedmodel`, `onnx`, `litert` and `openvino`.
        int8: Whether to write the ONNX files with 8-bit weights too; needs the data.
        data: Captioned images of the run, to compare tokenizers and recall on and to calibrate
            int8 with; by default those that the run was trained on, where they still are.
        split: Split to measure recall on.
        stage: Export the best encoders of this stage; of the last one by default.
        quiet: Whether to print nothing.

    Raises:
        MiteError: If the run or the data is missing, or as for `mite_tf.export.export`.
    """
    check_formats(formats, int8=int8)
    from mite_tf.export import ExportedFrom, export  # what a training need not have installed

    folder = RunFolder(run)
    encoders = folder.encoders(stage)
    table = _data_of(folder, data)
    if table is None and int8:
        raise MiteError(
            f"int8 is calibrated with images of the run, and the data of {folder.path} is not "
            "where it was. Say where it is with data=... (--data ...)."
        )
    if table is None and not quiet:
        say(
            f"The data of {folder.path} is not where it was: no recall. Say where it is with "
            "data=... (--data ...)."
        )
    config, features = folder.config, None
    if encoders.preprocessing is None and table is not None and "onnx" in formats:
        features = PrecomputedFeatures(config.backbone.features)
    hubs = hubs_of(folder, stage)
    if hubs is None and table is not None:
        hubs = hubs_for(folder, stage, encoders, table, quiet=quiet)
    of_hub = picture_input(encoders.image_encoder.backbone) is not None
    epoch, _, stage_name = folder.best(stage).name.partition("-")
    row = next((row for row in folder.history() if row["epoch"] == int(epoch)), {})
    return export(
        encoders,
        out,
        name=folder.path.resolve().name,
        formats=formats,
        int8=int8,
        table=table,
        split=split,
        features=features,
        about=ExportedFrom(
            stage=stage_name,
            epoch=int(epoch),
            selected_by=config.training.select_by,
            data={key: folder.info["data"][key] for key in ("fingerprint", "images", "captions")},
            metrics={key: value for key, value in row.items() if key not in ("epoch", "stage")},
            text_encoder=config.text_encoder["name"],
            text_backbone=config.text_backbone.name,
            nested_sizes=config.embedding.nested_sizes,
            image_backbone=config.backbone.name if of_hub else "",
        ),
        hubs=hubs,
        quiet=quiet,
    )


def _data_of(run: RunFolder, data: str | Path | CaptionedImages | None) -> CaptionedImages | None:
    """The captioned images; None if `data` is not given and nothing can be read where it was."""
    if data is not None:
        return table_of(run, data)
    source = run.info["data"].get("source")
    if source is None:
        return None
    try:
        return table_of(run, source["path"], format=source["format"], root=source["root"])
    except MiteError:
        return None
