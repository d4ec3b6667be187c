"""`fit` over all stages, with everything kept that a stop must not lose."""

from __future__ import annotations

from mite_tf.evaluation import Evaluation
from mite_tf.models import MITE
from mite_tf.runs.config import Config
from mite_tf.runs.history import HistoryFile
from mite_tf.runs.inputs import StageInputs
from mite_tf.runs.progress_bar import TrainingProgress
from mite_tf.runs.run import Run
from mite_tf.training import Finding, Guard, RetrievalMonitor, print_finding
from mite_tf.training.averaging import WeightAveraging
from mite_tf.training.checkpoint import Checkpoint
from mite_tf.training.interruption import Interruption
from mite_tf.training.schedule import StageSchedule


def fit_stages(
    model: MITE,
    inputs: StageInputs,
    config: Config,
    folder: Run,
    interruption: Interruption,
    *,
    quiet: bool = False,
) -> None:
    """Runs `model.fit` epoch by epoch, from the last saved state to the end of the schedule.

    Args:
        model: Compiled model, as `build_model` gives it.
        inputs: Batches and measurements of each stage.
        config: The configuration.
        folder: The run, for state, history and best encoders.
        interruption: Tells when to save and stop.
        quiet: Whether to show no progress.

    Raises:
        KeyboardInterrupt: If stopped; the state has been saved then.
        MiteError: If the guard stops a training that fails; the last good state has been saved.
    """

    def keep_best(epoch: int, stage: str, evaluation: Evaluation) -> None:
        folder.keep_best(epoch, stage, inputs.encoders.save)

    def tell(finding: Finding) -> None:
        folder.write_warnings([str(each) for each in guard.findings])
        if not quiet:
            print_finding(finding)

    schedule = StageSchedule(config.stages)
    averaging = WeightAveraging(
        model.encoder_variables + model.backbone_variables, config.training.averaging
    )
    monitor = RetrievalMonitor(
        inputs.embed_dev,
        weights=averaging.lent,
        on_best=keep_best,
        select_by=config.training.select_by,
        probe_every=config.training.probe_every,
    )
    history = HistoryFile(folder)
    guard = Guard(
        config.training.guard,
        schedule=schedule,
        further_variables=[*averaging.state, *model.adversarial_loss.variables],
        good_state=folder.good_state,
        on_finding=tell,
    )
    checkpoint = Checkpoint(
        folder.state,
        model,
        further_variables=averaging.state,
        values=lambda: {
            "history": history.rows,
            "best": monitor.best,
            "guard": guard.state(),
            "schedule": schedule.state(),
        },
        save_minutes=config.training.save_minutes,
        interruption=interruption,
        beginning=folder.beginning,
    )
    if saved := checkpoint.restore():
        history.rows, monitor.best = saved["history"], saved["best"]
        guard.restore(saved["guard"])
        schedule.restore(saved["schedule"])
    folder.forget_from(checkpoint.epoch)
    folder.write_warnings([str(each) for each in guard.findings])
    schedule.first_step = checkpoint.step
    progress = TrainingProgress(schedule, inputs.steps, checkpoint.epoch, checkpoint.step, quiet)
    with progress:
        while (epoch := checkpoint.epoch) < schedule.epochs:
            stage = schedule.stage_at(epoch)
            if epoch == schedule.first_epoch(stage) and checkpoint.step == 0:
                averaging.adopt()  # a stage hands its averaged weights on
            inputs.enter(stage)
            schedule.steps_per_epoch = checkpoint.steps_per_epoch = inputs.batches.steps
            model.fit(
                inputs.batches.dataset(epoch, first_step=checkpoint.step),
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=[schedule, averaging, monitor, guard, history, progress, checkpoint],
                verbose=0,
                shuffle=False,  # the batches are shuffled already
            )
