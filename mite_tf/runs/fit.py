"""`fit` over all stages, with everything kept that a stop must not lose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from mite_tf.data.images import naming_bad_images
from mite_tf.data.problem import counted
from mite_tf.errors import MiteError
from mite_tf.evaluation import (
    Evaluation,
    RetrievalScores,
    against_chance,
    chance_level,
    reached_by_chance,
)
from mite_tf.models import MITE
from mite_tf.progress import say
from mite_tf.reading import reading
from mite_tf.runs.config import Config
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.history import HistoryFile, TrainingProgress
from mite_tf.runs.hubs import write_hubs
from mite_tf.runs.inputs import StageInputs
from mite_tf.training import (
    Checkpoint,
    Finding,
    Guard,
    Interruption,
    RetrievalMonitor,
    StageSchedule,
    WeightAveraging,
    print_finding,
)

# Adam moves a weight by about the learning rate in a step, and a hundred steps are what the guard
# waits for until embeddings from scratch differ, see `Limits.settling_steps`.
FEW_STEPS = 100


def fit_stages(
    model: MITE,
    inputs: StageInputs,
    config: Config,
    folder: RunFolder,
    interruption: Interruption,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    quiet: bool = False,
) -> None:
    """Runs `model.fit` epoch by epoch, from the last saved state to the end of the schedule.

    Raises:
        KeyboardInterrupt: If stopped; the state has been saved then.
        MiteError: If the guard stops a training that fails; the last good state has been saved.
    """

    def keep_best(epoch: int, stage: str, evaluation: Evaluation | None = None) -> None:
        folder.keep_best(epoch, stage, inputs.encoders.save)

    def tell(finding: Finding) -> None:
        write_warnings()
        if not quiet:
            print_finding(finding)

    def write_warnings() -> None:
        findings = [str(each) for each in guard.findings]
        over = ended or checkpoint.epoch == schedule.epochs
        folder.write_warnings([*findings, *_verdict(folder)] if over else findings)

    folder.remove_leftovers()
    schedule, identity = StageSchedule(config.stages), folder.identity
    averaging = WeightAveraging(
        model.encoder_variables + model.backbone_variables + model.text_backbone_variables,
        config.training.averaging,
    )
    monitor = RetrievalMonitor(
        inputs.embed_dev,
        weights=averaging.lent,
        on_best=keep_best,
        select_by=config.training.select_by,
        probe_every=config.training.probe_every,
    )
    chance = chance_level(len(inputs.dev), inputs.dev.caption_image)
    history = HistoryFile(folder, chance)
    guard = Guard(
        config.training.guard,
        schedule=schedule,
        further_variables=[*averaging.state, *model.adversarial_loss.variables],
        good_state=folder.good_state,
        on_finding=tell,
    )
    users = _UserCallbacks(callbacks, model, schedule.epochs, averaging.lent)
    checkpoint = Checkpoint(
        folder.state,
        model,
        further_variables=averaging.state,
        values=lambda: {
            "history": history.rows,
            "best": monitor.best,
            "guard": guard.state(),
            "schedule": schedule.state(),
            "ended": bool(getattr(model, "stop_training", False)),  # not there before `fit`
            "run": identity,
        },
        save_minutes=config.training.save_minutes,
        interruption=interruption,
        beginning=folder.beginning,
    )
    ended = folder.ended_early
    if saved := checkpoint.restore():
        source = folder.state if folder.state.exists() else folder.beginning
        with reading(source, "the state of a run", "Bring it back from a copy, or train anew."):
            history.rows, monitor.best = saved["history"], saved["best"]
            guard.restore(saved["guard"])
            schedule.restore(saved["schedule"])
        _mend_history(history, quiet)
    if not folder.state.exists():  # so that one that is missing later has been lost
        checkpoint.save()
    write_warnings()
    schedule.first_step = checkpoint.step
    if ended or checkpoint.epoch == schedule.epochs:
        write_hubs(folder, inputs)
        return
    progress = TrainingProgress(
        schedule, inputs.steps, checkpoint.epoch, checkpoint.step, config.training.select_by, quiet
    )
    if not quiet:
        for sentence in (*_few_steps(schedule, inputs), _told(chance, len(inputs.dev))):
            say(sentence)
    read = [*inputs.train.paths, *inputs.unpaired.paths] if inputs.precomputed is None else []
    with progress, naming_bad_images(read):  # which may have changed since the check
        users.begin()
        while (epoch := checkpoint.epoch) < schedule.epochs and not ended:
            stage = schedule.stage_at(epoch)
            if epoch == schedule.first_epoch(stage) and checkpoint.step == 0:
                averaging.adopt()  # a stage hands its averaged weights on
            inputs.enter(stage)
            schedule.steps_per_epoch = checkpoint.steps_per_epoch = inputs.batches.steps
            try:
                model.fit(
                    inputs.batches.dataset(epoch, first_step=checkpoint.step),
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    callbacks=[
                        schedule, averaging, monitor, guard, history, users, progress, checkpoint
                    ],
                    verbose=0,
                    shuffle=False,  # the batches are shuffled already
                )  # fmt: skip
                ended = model.stop_training
            except _Broken:
                ended = True
        if users.end():
            keep_best(epoch, stage.name)
    write_warnings()
    write_hubs(folder, inputs)
    if not quiet:
        for sentence in _verdict(folder):
            say(f"Warning: {sentence}", "yellow")


def _mend_history(history: HistoryFile, quiet: bool) -> None:
    """Brings `history.csv` to what the state says, if it is missing, damaged or ahead of it."""
    rows, file = history.rows, history.run.history_file
    try:
        found = len(history.run.history())
    except MiteError:
        found = -1
    if found > len(rows) and not quiet:
        say(
            f"{file} is ahead of the saved state: epochs from {len(rows) + 1} on are trained again."
        )
    if found != len(rows):
        history.write()


def _few_steps(schedule: StageSchedule, inputs: StageInputs) -> Iterator[str]:
    """Says which stages take too few steps for their encoders to learn much."""
    for stage in schedule.stages:
        steps = stage.epochs * inputs.steps(stage)
        if stage.trains_encoders and steps < FEW_STEPS:
            yield (
                f"Stage {stage.name} has {counted(steps, 'step')} in "
                f"{counted(stage.epochs, 'epoch')}; with fewer than {FEW_STEPS} it learns little: "
                f"lower stages.{stage.name}.batch_size, {stage.batch_size} images now, or raise "
                f"stages.{stage.name}.epochs."
            )


def _told(chance: RetrievalScores, images: int) -> str:
    """Says what random order would score on dev."""
    both = zip(chance.image_to_text.recalls, chance.text_to_image.recalls, strict=True)
    recalls = [f"R@{k} {a:.1f} {b:.1f}" for k, (a, b) in zip((1, 5, 10), both, strict=True)]
    told = f"Chance on dev ({counted(images, 'image')}; image → text, text → image):"
    told += f" {', '.join(recalls)}, RSUM {chance.rsum:.1f}."
    return f"{told} {reached_by_chance(chance)}".strip()


def _verdict(folder: RunFolder) -> list[str]:
    """Says of a training that is over that its encoders do not beat chance on dev, if so."""
    if not folder.best_folders():
        return []
    kept = int(folder.best().name.partition("-")[0])
    row = next((row for row in folder.history() if row["epoch"] == kept), {})
    if "chance_rsum" not in row:  # of an earlier version
        return []
    told = against_chance(row["rsum"], row["chance_rsum"], row["chance_rsum_deviation"])
    return [f"On dev, after epoch {kept} ({row['stage']}): {told}"] if told else []


class _Broken(Exception):
    """Raised where a callback ends a training whose losses are not finite."""


class _UserCallbacks(keras.callbacks.Callback):
    """Callbacks of the user, to whom a training in many calls of `fit` is a single one.

    At the end of an epoch `weights`, a context, puts the averaged weights in place, so that what
    they save or bring back is what was measured.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: MITE,
        epochs: int,
        weights: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._callbacks = list(callbacks)
        self._all = keras.callbacks.CallbackList(self._callbacks, model=model)
        self._epochs = epochs
        self._weights = weights
        self._logs: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        self._all.set_params({**params, "epochs": self._epochs})

    def begin(self) -> None:
        """Calls `on_train_begin`; that of `fit` comes again with every epoch."""
        self.set_params({"verbose": 0, "steps": None})
        self._all.on_train_begin()

    def end(self) -> bool:
        """Calls `on_train_end`; returns whether that changed weights, as `EarlyStopping` may."""
        before = self.model.get_weights() if self._callbacks else []
        self._all.on_train_end(self._logs)
        after = self.model.get_weights() if self._callbacks else []
        return any(
            not np.array_equal(*pair, equal_nan=True) for pair in zip(before, after, strict=True)
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._all.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._callbacks:
            self._all.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._callbacks:
            return
        self._all.on_train_batch_end(batch, logs)
        if self.model.stop_training and not np.isfinite(list((logs or {}).values())).all():
            raise _Broken  # nothing to measure or to save in such an epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._callbacks:
            self._logs = dict(logs or {})
            with self._weights():
                self._all.on_epoch_end(epoch, logs)
