"""A run to an export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mite_tf.data import CaptionedImages
from mite_tf.runs.folder import RunFolder

if TYPE_CHECKING:
    from mite_tf.export import Manifest


def export_run(
    run: str | Path | RunFolder,
    out: str | Path,
    *,
    formats: Sequence[str] = ("savedmodel", "onnx"),
    int8: bool = False,
    data: str | Path | CaptionedImages | None = None,
    split: str = "dev",
    stage: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Writes the encoders of a run for use without the training code, and verifies them."""
    from mite_tf.export import export

    return export(
        Path(run), out, formats=formats, int8=int8, data=data, split=split, stage=stage, quiet=quiet
    )
