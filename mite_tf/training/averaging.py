"""A running average of the encoders' weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class WeightAveraging(keras.callbacks.Callback):
    """Keeps an exponential moving average of variables and lends it for evaluation.

    Averaged encoders retrieve better than the last step's, and without it an adversarial game
    that circles its equilibrium is judged at a random point of the circle. Keras optimizers
    average too (`use_ema`), but replace the weights by the average at the end of every `fit`;
    here training goes on with its own weights, so that it can be stopped and resumed anywhere.

    Args:
        variables: Variables to average.
        momentum: Share of the old average kept at each step. It starts lower, at
            `(1 + steps) / (10 + steps)`, so that early weights are soon forgotten.
        every: Steps between two updates, each of which stands for all of them: a pass over all
            weights takes time. The first `9 * every` steps, in which the momentum is low, count
            one by one. No step is lost: `averages` has those after the last update too.

    Raises:
        ValueError: If `momentum` or `every` is out of range.

    Example:
        >>> variable = keras.Variable([0.0])
        >>> averaging = WeightAveraging([variable], momentum=0.5, every=1)
        >>> _ = variable.assign([1.0])
        >>> averaging.on_train_batch_end(0)
        >>> with averaging.lent():
        ...     print(round(float(variable[0]), 2))
        0.9
    """

    def __init__(
        self, variables: Sequence[keras.Variable], momentum: float = 0.998, *, every: int = 4
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` lies in [0, 1). Received: momentum={momentum}")
        if every < 1:
            raise ValueError(f"`every` is 1 or more. Received: every={every}")
        self.variables = list(variables)
        self.momentum = momentum
        self.every = every
        self._averages = [tf.Variable(variable.value, trainable=False) for variable in variables]
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._update = tf.function(self._update_eagerly)

    @property
    def state(self) -> list[tf.Variable]:
        """Everything that a checkpoint has to hold."""
        return [self.steps, *self._averages]

    @property
    def averages(self) -> list[tf.Tensor]:
        """The average of each variable, over all steps so far."""
        since = self.steps % self.every if self.steps > 9 * self.every else 0
        share = self._share_of_last(since)
        pairs = zip(self._averages, self.variables, strict=True)
        return [average + share * (variable.value - average) for average, variable in pairs]

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        steps = int(self.steps.assign_add(1))
        young = steps <= 9 * self.every
        if young or steps % self.every == 0:
            self._update(self._share_of_last(1 if young else self.every))

    def _update_eagerly(self, share: Any) -> None:
        for average, variable in zip(self._averages, self.variables, strict=True):
            average.assign_add(share * (variable.value - average))

    def _share_of_last(self, count: Any) -> Any:
        """The share of the weights as they are, which stand for the last `count` steps."""
        before = tf.cast(self.steps - 1, tf.float32)
        momentum = tf.minimum(self.momentum, (1 + before) / (10 + before))
        return 1 - momentum ** tf.cast(count, tf.float32)

    def adopt(self) -> None:
        """Makes the averages the weights, and starts averaging afresh."""
        if self.steps > 0:
            averages = self.averages
            for variable, own, average in zip(
                self.variables, self._averages, averages, strict=True
            ):
                variable.assign(average)
                own.assign(average)
            self.steps.assign(0)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Puts the averages in place of the variables while the block runs."""
        own = [np.array(variable.value) for variable in self.variables]
        for variable, average in zip(self.variables, self.averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self.variables, own, strict=True):
                variable.assign(value)
