"""Measuring on dev at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from mite_tf.evaluation import Embeddings, Evaluation, evaluate_embeddings, quick_probe_accuracy
from mite_tf.models.objectives import match

# Captions in a batch of the held-out matching loss, as in VSE++.
_PAIRS = 128


class RetrievalMonitor(keras.callbacks.Callback):
    """Measures retrieval and modality invariance on a held-out split after every epoch.

    Adds `rsum`, recall, median ranks, `centroid_gap`, `probe_accuracy` and `val_loss`, the matching
    loss over batches of 128 captions in a fixed random order, to the epoch's logs, and what random
    order would score, `chance_rsum` and `chance_rsum_deviation`. `val_loss` is left alone where
    `fit` has validation data of its own, and left out where there are no two images to tell apart.

    Args:
        embed: Returns the split's `Embeddings` by the model as it stands.
        weights: Returns a context in which the weights to judge are in place, such as
            `WeightAveraging.lent`.
        on_best: Called there with the epoch, its stage and the evaluation, when it is the best yet.
        select_by: Which epoch is the best: the one with the highest `rsum`, or the `last`.
        probe_every: Epochs between fresh probes of half a second, see `quick_probe_accuracy`; 0
            for none. A split of fewer than five images with captions has none either.

    Example:
        >>> from types import SimpleNamespace
        >>> from mite_tf.losses import BidirectionalTriplet
        >>> monitor = RetrievalMonitor(lambda: Embeddings(np.eye(4), np.eye(4), np.arange(4)))
        >>> monitor.set_model(SimpleNamespace(matching_loss=BidirectionalTriplet()))
        >>> logs = {}
        >>> monitor.on_epoch_end(0, logs)
        >>> logs["rsum"], logs["val_loss"]
        (600.0, 0.0)
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
                for key in ("r1", "r5", "r10", "median_rank"):
                    logs[f"{direction}_{key}"] = getattr(getattr(evaluation, direction), key)
            logs["rsum"] = evaluation.rsum
            logs["chance_rsum"] = evaluation.chance.rsum
            logs["chance_rsum_deviation"] = evaluation.chance_deviation
            captioned = len(np.unique(embeddings.caption_image))
            if "val_loss" not in logs and captioned > 1:
                logs["val_loss"] = self._matching_loss(embeddings)
            logs["centroid_gap"] = evaluation.invariance["centroid_gap"]
            highest = evaluation.rsum > self.best.get(stage, -1.0)
            if highest:
                self.best[stage] = evaluation.rsum
            if self._on_best and (highest or self._select_by == "last"):
                self._on_best(epoch, stage, evaluation)
        logs["best_rsum"] = self.best[stage]
        due = self._probe_every and (epoch + 1) % self._probe_every == 0
        if due and captioned >= 5:
            logs["probe_accuracy"] = quick_probe_accuracy(*embeddings)

    def _matching_loss(self, embeddings: Embeddings) -> float:
        images, captions, owner = embeddings
        order = np.random.default_rng(0).permutation(len(captions))
        blocks = [order[row : row + _PAIRS] for row in range(0, len(order), _PAIRS)]
        losses, nested = [], getattr(self.model, "nested_sizes", ())
        for block in blocks:
            rows = np.unique(owner[block])
            ids = {"image_id": rows, "caption_image_id": owner[block]}
            value, _ = match(
                self.model.matching_loss, ids, (images[rows], captions[block]), None, nested
            )
            losses.append(float(value))
        return float(np.average(losses, weights=[len(block) for block in blocks]))
