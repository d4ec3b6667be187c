"""Callbacks at the end of an epoch: measuring on dev, recording."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from mite_tf.evaluation import (
    Embeddings,
    Evaluation,
    evaluate_embeddings,
    quick_probe_accuracy,
)
from mite_tf.files import written_beside
from mite_tf.training.run import Run


class RetrievalMonitor(keras.callbacks.Callback):
    """Measures retrieval and modality invariance on a held-out split after every epoch.

    Adds `rsum`, recall, median ranks, `centroid_gap` and `probe_accuracy` to the epoch's logs.

    Args:
        embed: Returns the split's `Embeddings` by the model as it stands.
        weights: Returns a context in which the weights to judge are in place, such as
            `WeightAveraging.lent`.
        on_best: Called inside that context with the epoch, its stage and the evaluation, when
            the epoch is the best of its stage so far.
        select_by: Which epoch is the best: the one with the highest `rsum`, or the `last`.
        probe_every: Epochs from one `probe_accuracy` to the next, each a fresh probe of about
            half a second, see `quick_probe_accuracy`; 0 for none. A split of fewer than five
            images has none either.
    """

    def __init__(
        self,
        embed: Callable[[], Embeddings],
        *,
        weights: Callable[[], AbstractContextManager[None]] = nullcontext,
        on_best: Callable[[int, str, Evaluation], object] | None = None,
        select_by: str = "rsum",
        probe_every: int = 1,
    ) -> None:
        super().__init__()
        self._embed = embed
        self._weights = weights
        self._on_best = on_best
        self._select_by = select_by
        self._probe_every = probe_every
        self.best: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        stage = logs.get("stage", "fit")
        with self._weights():
            embeddings = self._embed()
            evaluation = evaluate_embeddings(*embeddings, probe=False)
            for direction in ("image_to_text", "text_to_image"):
                ranking = getattr(evaluation, direction)
                logs |= {
                    f"{direction}_{key}": getattr(ranking, key)
                    for key in ("r1", "r5", "r10", "median_rank")
                }
            logs["rsum"] = evaluation.rsum
            logs["centroid_gap"] = evaluation.invariance["centroid_gap"]
            highest = evaluation.rsum > self.best.get(stage, -1.0)
            if highest:
                self.best[stage] = evaluation.rsum
            if self._on_best and (highest or self._select_by == "last"):
                self._on_best(epoch, stage, evaluation)
        logs["best_rsum"] = self.best[stage]
        due = self._probe_every and (epoch + 1) % self._probe_every == 0
        if due and len(np.unique(embeddings.caption_image)) >= 5:
            logs["probe_accuracy"] = quick_probe_accuracy(*embeddings)


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
