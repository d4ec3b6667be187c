"""Captioned pictures to a run: the main job."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from mite_tf.data import CaptionedImages, CheckReport, check, read
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError
from mite_tf.progress import CONSOLE
from mite_tf.runs.beginning import check_beginning
from mite_tf.runs.build import build_model
from mite_tf.runs.config import Config, load_config
from mite_tf.runs.fit_stages import fit_stages
from mite_tf.runs.inputs import StageInputs
from mite_tf.runs.run import Run
from mite_tf.text import WordPieceTokenizer, learn_vocabulary, read_vocabulary
from mite_tf.training.interruption import Interruption


def train(
    data: str | Path | CaptionedImages | CheckReport,
    run: str | Path,
    *,
    config: str | Path | Config | None = None,
    overrides: dict[str, Any] | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    feature_cache: str | Path | None = None,
    beginning: str | Path | None = None,
    quiet: bool = False,
) -> Run:
    """Trains both encoders through all stages of a configuration.

    Args:
        data: Folder or file of captioned images, a table of them, or the report of a check that
            they have passed through already; it needs the splits `train` and `dev`.
        run: Folder to leave the result in, see `Run`.
        config: Name of a packaged configuration, path of a TOML file, or a `Config`; `flickr8k`
            by default, and when resuming that of the run.
        overrides: Keys and values that replace those of the configuration.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to, where that does not tell either.
        skip_bad: Whether to leave unusable images and captions out; otherwise they are an error.
        resume: Whether to go on with the run in the folder, if there is one.
        feature_cache: Folder of cached backbone features, to share between runs;
            `RUN/features` by default.
        beginning: Folder of a finished run that went through the first stages of this
            configuration, without adversary. They are not trained again: the new run goes on
            from its end, to the same encoders as if it had trained them itself.
        quiet: Whether to print no progress.

    Returns:
        The run.

    Raises:
        MiteError: If data or configuration are unusable, or the folder holds another run.
        KeyboardInterrupt: If stopped by Ctrl-C or SIGTERM, after the state has been saved.
    """
    folder = Run(run)
    started = (folder.path / "run.json").exists()
    if folder.path.exists() and any(folder.path.iterdir()) and not (resume and started):
        raise MiteError(
            f"{folder.path}: "
            + (
                "holds a run already. Go on with it with --resume, or name another folder."
                if started
                else "is not empty and holds no run to resume. Name another folder."
            )
        )
    settings = _settings(folder if started else None, config, overrides)
    table = usable_data(data, settings, format, root, skip_bad, quiet)
    info = _describe(table, data, format, root)
    if started and folder.info["data"]["fingerprint"] != info["data"]["fingerprint"]:
        raise MiteError(
            f"{folder.path}: was trained on other data (images {folder.info['data']['images']}, "
            f"now {info['data']['images']}). Resume with that data, or train in another folder."
        )
    if beginning is not None and not started:
        check_beginning(settings, info["data"]["fingerprint"], Run(beginning))
    vocabulary = (
        read_vocabulary(folder.vocabulary) if started else _learn(table.split("train"), settings)
    )
    # The same seed gives the same run only where every operation is deterministic.
    tf.config.experimental.enable_op_determinism()
    features = None
    if settings.model.backbone == "features":
        features = PrecomputedFeatures(settings.model.features)
    model = build_model(settings, len(vocabulary), features.shape if features else None)
    if not started:  # only now, when nothing that was asked for is wrong
        folder.start(settings, vocabulary, info, Run(beginning) if beginning else None)
    tokenizer = WordPieceTokenizer(
        vocabulary, max_length=settings.text.max_length, lower_case=settings.text.lower_case
    )
    with Interruption() as interruption:
        inputs = StageInputs(
            table.split("train"),
            table.split("dev"),
            Encoders.of(model, tokenizer),
            settings,
            feature_cache=Path(feature_cache) if feature_cache else folder.path / "features",
            interruption=interruption,
            precomputed=features,
            quiet=quiet,
        )
        if inputs.train_ids.truncated and not quiet:
            CONSOLE.print(
                f"{inputs.train_ids.truncated} of {len(inputs.train_ids.ids)} train captions are "
                f"longer than text.max_length={settings.text.max_length} tokens and were cut."
            )
        fit_stages(model, inputs, settings, folder, interruption, quiet=quiet)
    return folder


def _settings(
    started: Run | None, config: str | Path | Config | None, overrides: dict[str, Any] | None
) -> Config:
    """The configuration to train; a run that goes on keeps its own and refuses another."""
    if started is None or config is not None or overrides:
        base = config or (started.path / "config.toml" if started else "flickr8k")
        asked = base if isinstance(base, Config) else load_config(base, overrides)
    else:
        asked = started.config
    if started is not None and asked != started.config:
        raise MiteError(
            f"{started.path}: was started with another configuration ({started.path}/config.toml). "
            "Resume without --config and --set, or train anew in another folder."
        )
    return asked


def usable_data(
    data: str | Path | CaptionedImages | CheckReport,
    config: Config,
    format: str | None,
    root: str | Path | None,
    skip_bad: bool,
    quiet: bool,
) -> CaptionedImages:
    """The data without what is broken; an error if there is any and it shall not be skipped."""
    if isinstance(data, CheckReport):
        report = data
    elif config.model.backbone == "features":  # the image files need not be here
        table = data if isinstance(data, CaptionedImages) else read(data, format=format, root=root)
        report = CheckReport(replace(table, problems=()), table.problems, images=len(table))
    else:
        report = check(data, format=format, root=root, progress=not quiet)
    if not skip_bad:
        report.raise_if_broken()
    elif report.errors and not quiet:
        left_out = report.images - len(report.table)
        CONSOLE.print(
            f"--skip-bad: {len(report.errors)} errors; {left_out} of {report.images} images are "
            "left out, and captions that name errors."
        )
    for split in ("train", "dev"):
        report.table.split(split)  # raises when there is none
    return report.table


def _learn(train: CaptionedImages, config: Config) -> list[str]:
    assert set(train.splits) == {"train"}, "a vocabulary is learned from the train split alone"
    return learn_vocabulary(
        train.captions,
        size=config.text.vocabulary_size,
        minimum_count=config.text.minimum_count,
        lower_case=config.text.lower_case,
    )


def _describe(
    table: CaptionedImages,
    data: str | Path | CaptionedImages | CheckReport,
    format: str | None,
    root: str | Path | None,
) -> dict[str, Any]:
    """What `run.json` says; `source` is where an export finds the data again."""
    source = None
    if isinstance(data, str | Path):
        source = {
            "path": str(Path(data).resolve()),
            "format": format,
            "root": str(Path(root).resolve()) if root else None,
        }
    packages = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "numpy")
    return {
        "data": {
            "source": source,
            "root": str(table.root),
            "fingerprint": table.fingerprint(),
            "images": table.splits,
            "captions": {name: len(table.split(name).captions) for name in table.splits},
        },
        "versions": {package: version(package) for package in packages},
    }
