"""Measuring on dev at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from mite_tf.evaluation import Embeddings, Evaluation, evaluate_embeddings, quick_probe_accuracy


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
