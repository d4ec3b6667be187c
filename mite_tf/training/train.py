"""Captioned pictures to a run: the main job."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from mite_tf.data import CaptionedImages, CheckReport, check, read
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.errors import MiteError
from mite_tf.evaluation import Evaluation
from mite_tf.files import write_text
from mite_tf.progress import CONSOLE
from mite_tf.text import WordPieceTokenizer, learn_vocabulary, read_vocabulary, write_vocabulary
from mite_tf.training.averaging import WeightAveraging
from mite_tf.training.build import build_model
from mite_tf.training.callbacks import HistoryFile, RetrievalMonitor
from mite_tf.training.checkpoint import Checkpoint
from mite_tf.training.config import Config, load_config
from mite_tf.training.encoders import Encoders
from mite_tf.training.inputs import StageInputs
from mite_tf.training.interruption import Interruption
from mite_tf.training.progress_bar import TrainingProgress
from mite_tf.training.run import Run
from mite_tf.training.schedule import StageSchedule


def train(
    data: str | Path | CaptionedImages,
    run: str | Path,
    *,
    config: str | Path | Config | None = None,
    overrides: dict[str, Any] | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    feature_cache: str | Path | None = None,
    quiet: bool = False,
) -> Run:
    """Trains both encoders through all stages of a configuration.

    Args:
        data: Folder or file of captioned images, or a table of them; it needs the splits
            `train` and `dev`.
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
    if settings.model.backbone == "features":  # the image files need not be here
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
    table = report.table
    for split in ("train", "dev"):
        table.split(split)  # raises when there is none
    info = _describe(table)
    if not started:
        _start(folder, settings, table.split("train"), info)
    elif folder.info["data"]["fingerprint"] != info["data"]["fingerprint"]:
        raise MiteError(
            f"{folder.path}: was trained on other data (images {folder.info['data']['images']}, "
            f"now {info['data']['images']}). Resume with that data, or train in another folder."
        )
    # The same seed gives the same run only where every operation is deterministic.
    tf.config.experimental.enable_op_determinism()
    cache = Path(feature_cache) if feature_cache else folder.path / "features"
    with Interruption() as interruption:
        _fit(folder, settings, table, cache, interruption, quiet)
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


def _start(folder: Run, config: Config, train: CaptionedImages, info: dict[str, Any]) -> None:
    """Writes what a new run folder begins with; `run.json` comes last and marks it as begun."""
    assert set(train.splits) == {"train"}, "a vocabulary is learned from the train split alone"
    vocabulary = learn_vocabulary(
        train.captions,
        size=config.text.vocabulary_size,
        minimum_count=config.text.minimum_count,
        lower_case=config.text.lower_case,
    )
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.path / "config.toml", config.to_toml())
    write_vocabulary(folder.vocabulary, vocabulary)
    folder.write_info(info)


def _describe(table: CaptionedImages) -> dict[str, Any]:
    packages = ("mite-tf", "tensorflow", "tensorflow-text", "keras", "numpy")
    return {
        "data": {
            "root": str(table.root),
            "fingerprint": table.fingerprint(),
            "images": table.splits,
            "captions": {name: len(table.split(name).captions) for name in table.splits},
        },
        "versions": {package: version(package) for package in packages},
    }


def _fit(
    folder: Run,
    config: Config,
    table: CaptionedImages,
    feature_cache: Path,
    interruption: Interruption,
    quiet: bool,
) -> None:
    vocabulary = read_vocabulary(folder.vocabulary)
    tokenizer = WordPieceTokenizer(
        vocabulary, max_length=config.text.max_length, lower_case=config.text.lower_case
    )
    precomputed = None
    if config.model.backbone == "features":
        precomputed = PrecomputedFeatures(config.model.features)
    model = build_model(config, len(vocabulary), precomputed.shape if precomputed else None)
    encoders = Encoders.of(model, tokenizer)
    inputs = StageInputs(
        table.split("train"),
        table.split("dev"),
        encoders,
        config,
        feature_cache=feature_cache,
        interruption=interruption,
        precomputed=precomputed,
        quiet=quiet,
    )
    _say_truncated(inputs, config, quiet)

    def keep_best(epoch: int, stage: str, evaluation: Evaluation) -> None:
        folder.keep_best(epoch, stage, encoders.save)

    averaging = WeightAveraging(
        model.encoder_variables + model.backbone_variables, config.training.averaging
    )
    monitor = RetrievalMonitor(inputs.evaluate, weights=averaging.lent, on_best=keep_best)
    history = HistoryFile(folder)
    seeds = getattr(model.adversarial_loss, "seed_generator", None)
    checkpoint = Checkpoint(
        folder.state,
        model,
        further_variables=[*averaging.state, *([seeds.state] if seeds else [])],
        values=lambda: {"history": history.rows, "best": monitor.best},
        save_minutes=config.training.save_minutes,
        interruption=interruption,
    )
    if saved := checkpoint.restore():
        history.rows, monitor.best = saved["history"], saved["best"]
    folder.forget_from(checkpoint.epoch)
    schedule = StageSchedule(config.stages, first_step=checkpoint.step)
    progress = TrainingProgress(schedule, inputs.steps, checkpoint.epoch, checkpoint.step, quiet)
    with progress:
        while (epoch := checkpoint.epoch) < schedule.epochs:
            stage = schedule.stage_at(epoch)
            if epoch == schedule.first_epoch(stage) and checkpoint.step == 0:
                averaging.adopt()  # a stage hands its averaged weights on
            inputs.enter(stage)
            schedule.steps_per_epoch = inputs.batches.steps
            model.fit(
                inputs.batches.dataset(epoch, first_step=checkpoint.step),
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=[schedule, averaging, monitor, history, progress, checkpoint],
                verbose=0,
                shuffle=False,  # the batches are shuffled already
            )


def _say_truncated(inputs: StageInputs, config: Config, quiet: bool) -> None:
    if inputs.train_ids.truncated and not quiet:
        CONSOLE.print(
            f"{inputs.train_ids.truncated} of {len(inputs.train_ids.ids)} train captions are "
            f"longer than text.max_length={config.text.max_length} tokens and were cut."
        )
