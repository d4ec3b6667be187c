"""The data of a training: usable, told in `run.json`, and the same when the training goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages, CheckReport, Unpaired, check, read, read_unpaired
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.data.problem import counted
from mite_tf.errors import MiteError
from mite_tf.progress import say
from mite_tf.runs.config import Config


def usable_data(
    data: str | Path | CaptionedImages | CheckReport,
    config: Config,
    format: str | None,
    root: str | Path | None,
    skip_bad: bool,
    quiet: bool,
) -> CaptionedImages:
    """Returns the data without what is broken; raises if there is any and it is not skipped."""
    if isinstance(data, CheckReport):
        report = data
    else:
        table = data if isinstance(data, CaptionedImages) else read(data, format=format, root=root)
        report = CheckReport(replace(table, problems=()), table.problems, images=len(table))
        if not report.errors:
            _check_splits(table)  # before the images are looked at, which takes time
        if config.backbone.name != "features":  # else the image files need not be here
            report = check(table, progress=not quiet)
    if not skip_bad:
        report.raise_if_broken()
    elif report.errors and not quiet:
        left_out = report.images - len(report.table)
        say(
            f"skip_bad (--skip-bad): {len(report.errors)} errors; {left_out} of {report.images} "
            "images are left out, and captions that name errors."
        )
    _check_splits(report.table)
    return report.table


def _check_splits(table: CaptionedImages) -> None:
    """Refuses data that cannot be trained on: without train or dev, or with too little in them."""
    for split, images in (("train", 2), ("dev", 1)):
        try:
            rows = table.split(split)
        except MiteError as error:
            raise MiteError(
                f"{error} Training needs train and dev: give images these splits, as in a column "
                "`split` of the captions."
            ) from None
        captioned = len(np.unique(rows.caption_image))
        if captioned < images:
            raise MiteError(
                f"The split {split} has {counted(captioned, 'image')} with captions, and training "
                f"needs {images}{' to tell apart' if images > 1 else ''}."
            )


def unpaired_data(
    images: str | Path | Unpaired | None,
    captions: str | Path | None,
    table: CaptionedImages,
    config: Config,
    skip_bad: bool,
    quiet: bool,
    recorded: Mapping[str, Any] | None = None,
) -> Unpaired:
    """Returns what is unpaired; without any named, that of `recorded`, an entry of `run.json`."""
    if isinstance(images, Unpaired):
        return images
    given: dict[str, str | Path | None] = {"images": images, "captions": captions}
    if recorded and images is None and captions is None:
        given = dict(recorded["sources"])
        if not given:
            raise MiteError(
                "The run was trained with unpaired data that came from no file. Give it again: "
                "unpaired_images=Unpaired(...)."
            )
    if all(each is None for each in given.values()):
        return Unpaired()
    if not quiet and not any(s.is_adversarial or s.discriminator_steps for s in config.stages):
        say(
            "Warning: no stage has an adversary, which unpaired data is for. Captions add their "
            "words to the vocabulary; images change nothing."
        )

    def features_of(ids: Sequence[str]) -> np.ndarray:  # a name may be that of another image too
        return PrecomputedFeatures(config.backbone.features).of(ids)

    return read_unpaired(
        given.get("images"),
        given.get("captions"),
        table,
        features_of=features_of if config.backbone.name == "features" else None,
        skip_bad=skip_bad,
        quiet=quiet,
    )


def describe(
    table: CaptionedImages,
    unpaired: Unpaired,
    data: str | Path | CaptionedImages | CheckReport,
    format: str | None,
    root: str | Path | None,
    skip_bad: bool,
) -> dict[str, Any]:
    """Returns what `run.json` says; `source` is where an export finds the data again."""
    source = None
    if isinstance(data, str | Path):
        source = {
            "path": str(Path(data).resolve()),
            "format": format,
            "root": str(Path(root).resolve()) if root else None,
        }
    beside = {
        "fingerprint": unpaired.fingerprint(),
        **unpaired.counts,
        "left_out": dict(unpaired.left_out),
        "sources": dict(unpaired.sources),
    }
    packages = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "numpy")
    return {
        "data": {
            "source": source,
            "root": str(table.root),
            "fingerprint": table.fingerprint(),
            "skip_bad": skip_bad,
            "images": table.splits,
            "captions": {name: len(table.split(name).captions) for name in table.splits},
            **({"unpaired": beside} if unpaired != Unpaired() else {}),
        },
        "versions": {package: version(package) for package in packages},
    }


def fingerprints(data: Mapping[str, Any]) -> tuple[str, str | None]:
    """Returns those of an entry `data` of `run.json`: of the pairs, and of what is unpaired.

    Example:
        >>> fingerprints({"fingerprint": "1", "unpaired": {"fingerprint": "2"}})
        ('1', '2')
    """
    return data["fingerprint"], (data.get("unpaired") or {}).get("fingerprint")


def check_same_data(run: Path, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to go on with a run on other data, given its entry `data` of `run.json` and that now.

    Example:
        >>> data = {"fingerprint": "1", "images": {"train": 2}}
        >>> check_same_data(Path("runs/a"), data, data | {"fingerprint": "2"})
        Traceback (most recent call last):
        mite_tf.errors.MiteError: runs/a: was trained on other data (images {'train': 2}, now ...
    """
    before, after = fingerprints(recorded), fingerprints(now)
    if before == after:
        return
    told = f"other data (images {recorded['images']}, now {now['images']})"
    if before[0] == after[0]:
        sizes = [
            f"{counted(more['images'], 'image')} and {counted(more['captions'], 'caption')}"
            if (more := each.get("unpaired"))
            else "none"
            for each in (recorded, now)
        ]
        told = f"other unpaired data ({sizes[0]}, now {sizes[1]})"
    raise MiteError(
        f"{run}: was trained on {told}. Resume with that data, or train in another folder."
    )
