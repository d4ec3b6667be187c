"""One row per epoch, kept in the run folder."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from typing import Any

import keras

from mite_tf.files import written_beside
from mite_tf.runs.run import Run


class HistoryFile(keras.callbacks.Callback):
    """Keeps one row per epoch, as CSV and for TensorBoard.

    Args:
        run: The run folder.
        rows: Rows of earlier epochs, when a training is resumed.
    """

    def __init__(self, run: Run, rows: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self.run = run
        self.rows = list(rows)
        self._writer: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, "seconds": round(time.monotonic() - self._start, 2)}
        self.rows.append(row | (logs or {}))
        columns = dict.fromkeys(key for row in self.rows for key in row)
        with written_beside(self.run.history_file) as file:
            writer = csv.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        self._write_summaries(epoch + 1, self.rows[-1])

    def _write_summaries(self, epoch: int, row: dict[str, Any]) -> None:
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.run.path / "logs"))
        with self._writer.as_default(step=epoch):
            for key, value in row.items():
                if isinstance(value, (int, float)):
                    tf.summary.scalar(key, value)
        self._writer.flush()
