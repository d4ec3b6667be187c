"""The optimizers of a `MITE`: their learning rates, and what each updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree


def set_learning_rates(
    model: keras.Model,
    *,
    encoders: float,
    backbone: float,
    discriminator: float,
    text_backbone: float = 0.0,
) -> None:
    """Sets the learning rates of all optimizers of a compiled `MITE`, each as it is given.

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
        (getattr(model, "text_backbone_optimizer", None), text_backbone),
    ):
        if optimizer is None:
            continue
        # Reading takes a tenth of the time of assigning, and this runs before every batch.
        if float(optimizer.learning_rate) != np.float32(rate):
            optimizer.learning_rate = rate
    model.known_learning_rate = float(model.optimizer.learning_rate)


class SharedLearningRate(keras.callbacks.Callback):
    """Passes a change of the encoders' learning rate on to the other optimizers of a `MITE`.

    `ReduceLROnPlateau` and `LearningRateScheduler` know of `model.optimizer` alone. Where one of
    them multiplies its learning rate by a factor between two batches, those of the backbones and
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
            for name in ("backbone", "text_backbone", "discriminator"):
                if (each := getattr(self.model, f"{name}_optimizer", None)) is not None:
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


def upper(variables: Sequence[Any], share: float) -> Sequence[Any]:
    """Returns a share of the variables of a backbone, counted from its output.

    Example:
        >>> upper(["a", "b", "c", "d"], 0.5)
        ['c', 'd']
    """
    return variables[len(variables) - round(share * len(variables)) :]


def apply_gradients(
    tape: tf.GradientTape,
    targets: Sequence[Any],
    gradients: Sequence[Any],
    parts: Sequence[tuple[keras.optimizers.Optimizer, Sequence[Any]]],
) -> None:
    """Takes gradients at the targets back to variables, and applies them part by part.

    Args:
        tape: What has recorded the way from the variables to the targets.
        targets: Tensors.
        gradients: The gradient at each of them.
        parts: Optimizers, each with its variables; one without any is left alone.

    Example:
        >>> variable = keras.Variable(3.0)
        >>> with tf.GradientTape() as tape:
        ...     square = variable * variable
        >>> apply_gradients(tape, [square], [1.0], [(keras.optimizers.SGD(0.5), [variable])])
        >>> float(variable)
        0.0
    """
    found = tape.gradient(targets, [variables for _, variables in parts], gradients)
    for (optimizer, variables), each in zip(parts, found, strict=True):
        if variables:
            # Of words, those of each occurrence; Adam and clipping need their sum.
            summed = [one if one is None else tf.convert_to_tensor(one) for one in each]
            optimizer.apply(summed, variables)
