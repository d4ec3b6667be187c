"""Saving a training at any step, and going on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mite_tf.training.interruption import Interruption
from mite_tf.training.state import read_state, write_state


# no example: it takes a training to save; `mite_tf.runs.fit` has one
class Checkpoint(keras.callbacks.Callback):
    """Saves all that resuming needs: after every epoch, in long epochs, and when asked to stop.

    Keras's `BackupAndRestore` keeps the state of one optimizer, at ends of epochs. This keeps
    every variable: weights, all optimizers, running averages, seeds of dropout and the metrics
    of an epoch under way. A state with a value that is not finite is never saved: the one before
    it is still good.

    Args:
        path: File of the state.
        model: The compiled model.
        further_variables: Variables besides those of the model and its losses, such as averages.
        values: Returns plain values to keep beside them.
        save_minutes: Minutes between two saves within an epoch.
        interruption: Tells whether to save and stop after a batch.
        beginning: File of another training's state to begin from while `path` is absent. Its
            adversary may be another one and is left out; see `mite_tf.runs.train`.
    """

    def __init__(
        self,
        path: Path,
        model: Any,
        *,
        further_variables: Sequence[Any],
        values: Callable[[], dict[str, Any]],
        save_minutes: float,
        interruption: Interruption,
        beginning: Path | None = None,
    ) -> None:
        super().__init__()
        self.path = path
        self.beginning = beginning
        self._metrics = [variable for mean in model.metrics for variable in mean.variables]
        self._variables = [
            *model.variables,
            *(variable for each in model.optimizers for variable in each.variables),
            *further_variables,
            *model.adversarial_loss.variables,
            *self._metrics,
        ]
        of_adversary = {
            id(variable)
            for variable in (
                *model.discriminator.variables,
                *model.discriminator_optimizer.variables,
                *model.adversarial_loss.variables,
            )
        }
        self._adversary = [i for i, v in enumerate(self._variables) if id(v) in of_adversary]
        self._values = values
        self._save_seconds = 60 * save_minutes
        self._interruption = interruption
        self._saved = time.monotonic()
        self.epoch, self.step = 0, 0
        self.steps_per_epoch: int | None = None

    def restore(self) -> dict[str, Any] | None:
        """Puts back the last saved state; returns its plain values, or None if there is none."""
        if self.path.exists():
            values = read_state(self.path, self._variables)
        elif self.beginning is not None and self.beginning.exists():
            own = [v for i, v in enumerate(self._variables) if i not in self._adversary]
            values = read_state(self.beginning, own, without="adversary")
        else:
            return None
        self.epoch, self.step = values["epoch"], values["step"]
        self._restored_metrics = [np.array(variable) for variable in self._metrics]
        return values

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.step:  # `fit` has just reset the metrics of the epoch that goes on here
            for variable, value in zip(self._metrics, self._restored_metrics, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step += 1
        if self.step == self.steps_per_epoch:
            return  # the end of the epoch is about to be saved, which leaves no step undone
        if self._interruption.requested or time.monotonic() - self._saved > self._save_seconds:
            self.save()
        self._interruption.stop_if_requested()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.step = epoch + 1, 0
        self.save()
        self._interruption.stop_if_requested()

    def save(self) -> None:
        """Saves the state as it is now, unless a value in it is not finite."""
        learned = self._variables[: -len(self._metrics)]
        if not all(np.isfinite(variable.numpy()).all() for variable in learned):
            return
        counts = {"epoch": self.epoch, "step": self.step, "adversary": self._adversary}
        write_state(self.path, self._variables, {**counts, **self._values()})
        if self.beginning is not None:
            self.beginning.unlink(missing_ok=True)
        self._saved = time.monotonic()
