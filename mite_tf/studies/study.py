"""Variants of a configuration, trained with the same seeds and compared pair by pair."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from mite_tf.data import CaptionedImages, CheckReport, Unpaired, read
from mite_tf.errors import MiteError
from mite_tf.files import writing
from mite_tf.progress import say
from mite_tf.runs import Config, load_config
from mite_tf.runs.alone import Alone
from mite_tf.runs.beginning import trained_stages
from mite_tf.runs.data import unpaired_data, usable_data
from mite_tf.runs.train import check_stages
from mite_tf.scenes import ruled_out
from mite_tf.studies.commands import Commands
from mite_tf.studies.measurement import measure, measure_protocols_of
from mite_tf.studies.report import write_study
from mite_tf.studies.study_folder import StudyFolder
from mite_tf.studies.trainer import Trainer
from mite_tf.studies.variants import Variant, load_variants


def study(
    data: str | Path | CaptionedImages,
    out: str | Path,
    *,
    config: str | Path | Config = "flickr8k",
    variants: Sequence[str] = ("baseline", "mite"),
    seeds: int = 5,
    first_seed: int = 0,
    overrides: dict[str, Any] | None = None,
    variants_file: str | Path | None = None,
    split: str = "dev",
    stage: str | None = None,
    against: str | None = None,
    format: str | None = None,
    root: str | Path | None = None,
    skip_bad: bool = False,
    feature_cache: str | Path | None = None,
    unpaired_images: str | Path | Unpaired | None = None,
    unpaired_captions: str | Path | None = None,
    quiet: bool = False,
) -> StudyFolder:
    """Trains variants with several seeds each, measures every run, and writes a report.

    What is there already is not done again: a study that was stopped continues where it was, and
    a finished one grows by the variants and seeds that are new. First stages in which
    variants do not differ are trained once for each seed, to the same encoders as if each
    variant had trained them itself. The report covers all that `out` holds.

    Args:
        data: Folder or file of captioned images, or a table of them; it needs the splits
            `train` and `dev`.
        out: Folder to leave everything in, see `StudyFolder`.
        config: Name of a packaged configuration, path of a TOML file, or a `Config`.
        variants: Names of the variants; see `load_variants`.
        seeds: How many seeds each variant is trained with, counting up from `first_seed`.
        first_seed: The first of them.
        overrides: Keys and values that replace those of the configuration, for all variants.
        variants_file: TOML file that describes further variants.
        split: Split to measure on.
        stage: Stage after which variants are compared; the last of each if None.
        against: Variant that the others are compared with; if None `baseline`, or the first one
            where there is none.
        format: Format of `data`, where looking at it does not tell.
        root: Folder that image paths of `data` are relative to.
        skip_bad: Whether to leave unusable images and captions out; otherwise they are an error.
        feature_cache: Folder of cached backbone features; `OUT/features` if None.
        unpaired_images: As for `train`, for all variants; one with `"training.unpaired" = false`
            has the vocabulary of the others and an adversary that sees the pairs alone.
        unpaired_captions: Likewise.
        quiet: Whether to print nothing.

    Raises:
        MiteError: If data, configuration or variants are unusable, or the folder holds a
            study of something else; or, after the report of the others, if trainings failed.
        KeyboardInterrupt: If stopped by Ctrl-C; calling again goes on.
    """
    logging.getLogger("tensorflow").addFilter(_is_of_interest)
    if seeds < 1 or not 0 <= first_seed <= 2**32 - seeds:
        raise MiteError(
            "A study needs at least one seed, from 0 on and below 2**32. "
            f"Received: {seeds} from {first_seed} on."
        )
    base = config if isinstance(config, Config) else load_config(config)
    base = base.with_overrides(overrides or {})
    chosen = load_variants(variants, variants_file)
    folder = StudyFolder(out)
    with Alone(folder.path, "study") as alone:
        folder.check()
        _check_names(folder, base, chosen, stage, against)
        table = data if isinstance(data, CaptionedImages) else read(data, format=format, root=root)
        if table.fingerprint() != folder.record.get("data", {}).get(
            "fingerprint"
        ):  # not yet checked
            table = usable_data(table, base, None, None, skip_bad, quiet)
        unpaired = unpaired_data(unpaired_images, unpaired_captions, table, base, skip_bad, quiet)
        measured = table.split(split)
        begun_before = bool(folder.record)
        with writing(folder.path):
            folder.path.parent.mkdir(parents=True, exist_ok=True)
        alone.hold()
        folder.open(base, chosen, table, unpaired)
        alone.hold()

        report = CheckReport(table, (), images=len(table))
        features = Path(feature_cache or folder.path / "features")
        trainer = Trainer(folder, base, report, features, unpaired, quiet)
        pairs = ruled_out(measured)
        runs = [
            (variant, seed) for seed in range(first_seed, first_seed + seeds) for variant in chosen
        ]
        missing = [run for run in runs if not trainer.is_done(*run)]
        failures: dict[str, MiteError] = {}
        begun = time.monotonic()
        for variant, seed in runs:
            run, name = folder.run(variant.name, seed), f"{variant.name}, seed {seed}"
            if (variant, seed) in missing:
                done = missing.index((variant, seed))
                if not quiet:
                    left = _time_left(time.monotonic() - begun, done, len(missing))
                    say(f"Run {done + 1} of {len(missing)}: {name}{left}", "bold")
                try:
                    trainer.train(variant, seed)
                except MiteError as error:
                    if (
                        not run.path.exists()
                    ):  # training never began, and others would fail likewise
                        if not begun_before and not any(folder.path.glob("*/*/seed-*")):
                            folder.take_back()
                            alone.close()
                            with suppress(OSError):  # somebody's own files are in it
                                folder.path.rmdir()
                        raise
                    failures[name] = error
                    continue
            place = folder.measured(split, variant.name, seed)
            measure(
                run,
                measured,
                place,
                variant=variant.name,
                pairs=pairs,
                feature_cache=features,
                quiet=quiet,
            )
            measure_protocols_of(run, table, measured, place, stage=stage, quiet=quiet)
        commands = Commands(
            data="DATA" if isinstance(data, CaptionedImages) else str(data),
            source=str(folder.config_file if isinstance(config, Config) else config),
            base=base,
            reading={
                "format": format,
                "root": root,
                "skip_bad": skip_bad,
                **{f"unpaired_{what}": path for what, path in unpaired.sources.items()},
            },
            studying={
                "variants_file": variants_file,
                "split": None if split == "dev" else split,
                "stage": stage,
                "against": against,
                "out": out,
            },
        )
        if folder.measurements(split):
            tables = write_study(folder, split, commands, stage=stage, against=against)
            if not quiet:
                tables[0].print()
                say(tables[0].note)
        if failures:
            lines = "".join(f"\n  {name}: {error}" for name, error in failures.items())
            raise MiteError(f"{len(failures)} of {len(runs)} runs failed and are left out:{lines}")
    return folder


def _check_names(
    folder: StudyFolder,
    base: Config,
    chosen: Sequence[Variant],
    stage: str | None,
    against: str | None,
) -> None:
    """Refuses, before any training, names that the report would refuse after it."""
    configs = [variant.of(base, seed=0) for variant in chosen]
    for config in configs:
        check_stages(config)
    stages = {s.name: None for c in configs for s in trained_stages(c) if s.trains_encoders}
    if stage is not None and stage not in stages:
        raise MiteError(f"No stage {stage!r} trains encoders; there are {', '.join(stages)}.")
    names = dict.fromkeys(variant.name for variant in (*folder.variants, *chosen))
    if against is not None and against not in names:
        raise MiteError(f"No variant {against!r} to compare with; there are {', '.join(names)}.")


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Drops a warning that many models in one process cause, each with graphs of its own."""
    return "triggered tf.function retracing" not in record.getMessage()


def _time_left(seconds: float, done: int, runs: int) -> str:
    """Returns the time left if the remaining runs take as long as those before them."""
    if not done:
        return ""
    return f", about {timedelta(seconds=round(seconds / done * (runs - done)))} left"
