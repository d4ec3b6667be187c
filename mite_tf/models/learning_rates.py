"""The learning rates of the three optimizers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import tree


def set_learning_rates(
    model: keras.Model, *, encoders: float, backbone: float, discriminator: float
) -> None:
    """Sets the learning rates of all three optimizers of a compiled `MITE`, each as it is given.

    Example:
        >>> from types import SimpleNamespace
        >>> names = ("optimizer", "backbone_optimizer", "discriminator_optimizer")
        >>> model = SimpleNamespace(**{name: keras.optimizers.Adam() for name in names})
        >>> set_learning_rates(model, encoders=0.5, backbone=0.25, discriminator=1.0)
        >>> float(model.backbone_optimizer.learning_rate)
        0.25
    """
    for optimizer, rate in (
        (model.optimizer, encoders),
        (model.backbone_optimizer, backbone),
        (model.discriminator_optimizer, discriminator),
    ):
        # Reading takes a tenth of the time of assigning, and this runs before every batch.
        if float(optimizer.learning_rate) != np.float32(rate):
            optimizer.learning_rate = rate
    model.known_learning_rate = float(model.optimizer.learning_rate)


class SharedLearningRate(keras.callbacks.Callback):
    """Passes a change of the encoders' learning rate on to the other optimizers of a `MITE`.

    `ReduceLROnPlateau` and `LearningRateScheduler` know of `model.optimizer` alone. Where one of
    them multiplies its learning rate by a factor between two batches, those of the backbone and
    of the discriminator are multiplied by it too. `MITE.fit` adds this callback by itself.

    A rate of 0 has no factor, so changes from and to 0 are not passed on. An optimizer with a
    `keras.optimizers.schedules.LearningRateSchedule` changes by itself and is left alone.

    Example:
        >>> from types import SimpleNamespace
        >>> names = ("optimizer", "backbone_optimizer", "discriminator_optimizer")
        >>> model = SimpleNamespace(**{name: keras.optimizers.Adam(0.1) for name in names})
        >>> callback = SharedLearningRate()
        >>> callback.set_model(model)
        >>> callback.on_train_begin()
        >>> model.optimizer.learning_rate = 0.05
        >>> callback.on_train_batch_begin(0)
        >>> round(float(model.backbone_optimizer.learning_rate), 3)
        0.05
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        rate = self.model.optimizer.get_config()["learning_rate"]
        self._scheduled = not isinstance(rate, float)
        self.model.known_learning_rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._scheduled:
            return
        known, now = self.model.known_learning_rate, float(self.model.optimizer.learning_rate)
        if now == known:
            return
        self.model.known_learning_rate = now
        if now and known:
            for each in (self.model.backbone_optimizer, self.model.discriminator_optimizer):
                each.learning_rate = each.learning_rate * (now / known)


def with_shared_learning_rate(callbacks: Any) -> Any:
    """Adds a `SharedLearningRate` to what `fit` takes as callbacks: none, one, several or a list.

    Example:
        >>> len(with_shared_learning_rate(keras.callbacks.TerminateOnNaN()))
        2
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(SharedLearningRate())
        return callbacks
    return [*tree.flatten(callbacks or []), SharedLearningRate()]
