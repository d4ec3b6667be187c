"""The stages of a training, as a Keras callback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mite_tf.losses import matching_loss
from mite_tf.models import set_learning_rates
from mite_tf.training.stage import Stage


class StageSchedule(keras.callbacks.Callback):
    """Takes a `MITE` model through its stages while `fit` runs.

    Epochs count over all stages. At the first epoch of a stage the callback sets what the
    training step updates and by which loss, which makes a new graph; before every batch it
    assigns the learning rates, the weight of the adversarial loss and the share of hardest
    negatives, which are variables and make none. Where another callback has changed the learning
    rate of the encoders by a factor in between, as `ReduceLROnPlateau` does, all rates keep it.

    Args:
        stages: The stages, in order; those of 0 epochs are left out.
        steps_per_epoch: Batches of an epoch; taken from `fit` by default.
        first_step: Batches of the first epoch that an interrupted `fit` has already seen.

    Attributes:
        rate_factor: Multiplies all learning rates; 1 unless a `Guard` lowers it.
        weight_factor: Multiplies the adversarial weight; likewise.
        callback_factor: Multiplies all learning rates too: what other callbacks have made of them.

    Raises:
        ValueError: If two stages have the same name, or none has any epoch.

    Example:
        >>> stages = [Stage(name="align", epochs=8), Stage(name="finetune", epochs=2)]
        >>> schedule = StageSchedule(stages)
        >>> schedule.epochs, schedule.stage_at(8).name
        (10, 'finetune')
    """

    def __init__(
        self, stages: Sequence[Stage], *, steps_per_epoch: int | None = None, first_step: int = 0
    ) -> None:
        super().__init__()
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names):
            raise ValueError(f"Stages have different names. Received: {names}")
        self.stages = tuple(stage for stage in stages if stage.epochs)
        if not self.stages:
            raise ValueError(f"No stage has any epoch. Received: {names}")
        self.steps_per_epoch = steps_per_epoch
        self.first_step = first_step
        self.rate_factor = self.weight_factor = self.callback_factor = 1.0
        self._rate: float | None = None
        self._active: Stage | None = None

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def boundaries(self) -> list[tuple[str, int]]:
        """Names and first epoch of each stage."""
        return [(stage.name, self.first_epoch(stage)) for stage in self.stages]

    def first_epoch(self, stage: Stage) -> int:
        """Returns the number of the first epoch of a stage."""
        return sum(earlier.epochs for earlier in self.stages[: self.stages.index(stage)])

    def stage_at(self, epoch: int) -> Stage:
        """Returns the stage that an epoch belongs to; the last one beyond the end."""
        for stage in self.stages:
            if epoch < self.first_epoch(stage) + stage.epochs:
                return stage
        return self.stages[-1]

    def state(self) -> dict[str, float]:
        """Returns, as JSON values, what a resumed training must not forget."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: dict[str, float]) -> None:
        """Puts back what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        stage = self.stage_at(epoch)
        self._epoch = epoch - self.first_epoch(stage)
        if stage is not self._active:
            self._active = stage
            own = self.model.loss
            self.model.matching_loss = matching_loss(stage.loss) if stage.loss else own
            self.model.configure_step(
                trains_encoders=stage.trains_encoders,
                is_adversarial=stage.is_adversarial,
                backbone_share=stage.backbone_share,
                text_backbone_share=stage.text_backbone_share,
                discriminator_steps=stage.discriminator_steps,
            )

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        stage, model = self._active, self.model
        assert stage is not None
        steps = self.steps_per_epoch or self.params.get("steps") or 1
        epoch = self._epoch + (self.first_step + batch) / steps
        set_by_others = float(model.optimizer.learning_rate)
        if self._rate and set_by_others and set_by_others != self._rate:
            self.callback_factor *= set_by_others / self._rate
        factor = self.rate_factor * self.callback_factor
        # A step of the warm-up takes the rate at its end: at its beginning, the first one of all,
        # which may be a whole epoch of few images, would have next to none.
        warm = min(epoch + 1 / steps, stage.warmup_epochs)
        rate = factor * stage.rate_at(max(epoch, warm)) * stage.learning_rate
        set_learning_rates(
            model,
            encoders=rate,
            backbone=rate * stage.backbone_rate_factor,
            text_backbone=rate * stage.text_backbone_rate_factor,
            # It follows no decay: it must keep up with the encoders to the end.
            discriminator=factor * stage.discriminator_learning_rate,
        )
        self._rate = model.known_learning_rate
        weight = self.weight_factor * stage.value_at("adversarial_weight", epoch)
        if float(model.adversarial_weight.value) != np.float32(weight):
            model.adversarial_weight.assign(weight)
        model.matching_loss.set_hardest_share(stage.value_at("hardest_share", epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.first_step = 0
        if logs is not None and self._active is not None:
            logs["stage"] = self._active.name


_STATE = ("rate_factor", "weight_factor", "callback_factor")
