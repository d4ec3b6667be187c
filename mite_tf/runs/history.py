"""What a training tells of each epoch: a row in the run folder, a line on the terminal."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mite_tf.evaluation import RetrievalScores
from mite_tf.files import writing, written_beside
from mite_tf.progress import bar, say
from mite_tf.runs.folder import RunFolder
from mite_tf.training import Stage, StageSchedule


class HistoryFile(keras.callbacks.Callback):
    """Keeps one row per epoch, as CSV and for TensorBoard.

    A resumed training puts the rows of earlier epochs back into `rows`. Each row has the recalls of
    `chance` too.
    """

    def __init__(self, run: RunFolder, chance: RetrievalScores) -> None:
        super().__init__()
        self.run = run
        self._chance = {
            f"chance_{direction}_{key}": getattr(getattr(chance, direction), key)
            for direction in ("image_to_text", "text_to_image")
            for key in ("r1", "r5", "r10")
        }
        self.rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, "seconds": round(time.monotonic() - self._start, 2)}
        self.rows.append(row | (logs or {}) | self._chance)
        self.run.must_be_whole()
        self.write()
        logs_folder = self.run.path / "logs"
        with writing(logs_folder):
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(os.fsencode(logs_folder))
            with self._writer.as_default(step=epoch + 1):
                for key, value in self.rows[-1].items():
                    if isinstance(value, (int, float)):
                        tf.summary.scalar(key, value)
            self._writer.flush()

    def write(self) -> None:
        """Writes the rows so far as CSV."""
        columns = dict.fromkeys(key for row in self.rows for key in row)
        with written_beside(self.run.history_file) as file:
            writer = csv.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class TrainingProgress(keras.callbacks.Callback):
    """Shows speed and remaining time of the whole training, and one line per epoch.

    `epoch` comes first, `step` batches of which were run before; `steps` returns the number of
    batches of an epoch of a stage. The best epoch is told where it is the one that is kept.
    """

    def __init__(
        self,
        schedule: StageSchedule,
        steps: Callable[[Stage], int],
        epoch: int = 0,
        step: int = 0,
        select_by: str = "rsum",
        quiet: bool = False,
    ) -> None:
        super().__init__()
        per_epoch = [steps(schedule.stage_at(number)) for number in range(schedule.epochs)]
        self._epochs = len(per_epoch)
        self._quiet = quiet
        self._tells_best = select_by == "rsum"
        self._bar = bar("batches", quiet=quiet)
        self._task = self._bar.add_task("", total=sum(per_epoch[epoch:]) - step)

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.update(self._task, description=f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.advance(self._task)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._quiet:
            return
        logs = logs or {}
        parts = [
            f"epoch {epoch + 1:>3}/{self._epochs}",
            f"{logs.get('stage', ''):<11}",
            f"loss {logs['matching_loss']:7.3f}",
            f"active {100 * logs['active_hinges']:3.0f}%",
            f"discriminator {100 * logs['discriminator_accuracy']:3.0f}%",
        ]
        if "rsum" in logs:
            best = f", best {logs['best_rsum']:5.1f}" if self._tells_best else ""
            parts += [
                f"R@1 {logs['image_to_text_r1']:4.1f} {logs['text_to_image_r1']:4.1f}",
                f"RSUM {logs['rsum']:5.1f} (chance {logs['chance_rsum']:5.1f}{best})",
                f"gap {logs['centroid_gap']:.2f}",
            ]
        say("  ".join(parts))
