"""Whether all that a training step has to do with is finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mite_tf.training.guard.rows import Row, key_of


def not_finite(model: Any, logs: Mapping[str, Any], *, weights: bool) -> str:
    """Names the first quantity in training that is NaN or infinite.

    Args:
        model: The `MITE` model in training.
        logs: Logs of a training step.
        weights: Whether to look at the weights too, which takes longer. They become so only
            after the losses of a batch were computed, and some activations hide it even then.

    Returns:
        The name of a log or the path of a weight; empty if all is finite.
    """
    watched = ["matching_loss", "matching_gradient_norm"] if model.trains_encoders else []
    if model.discriminator_steps:
        watched += ["discriminator_loss"]
    watched += ["adversarial_gradient_norm"]  # 0 at weight 0, whatever the loss is
    broken = [name for name in watched if not math.isfinite(logs.get(name, 0.0))]
    if weights and not broken:
        variables = model.trainable_variables
        broken = [each.path for each in variables if not np.isfinite(np.array(each.value)).all()]
    return broken[0] if broken else ""


def tell_not_finite(broken: str, batch: int, row: Row) -> tuple[str, str]:
    """Says what is not finite since which batch of an epoch, and what to change."""
    advice = f"lower {key_of(row, 'learning_rate')}, and look for such values in the features"
    if "adversarial" in broken or "discriminator" in broken:
        weight = key_of(row, "adversarial_weight")
        advice = f"lower {key_of(row, 'discriminator_learning_rate')} or {weight}"
    return f"{broken} is not a finite number after batch {batch}", advice
