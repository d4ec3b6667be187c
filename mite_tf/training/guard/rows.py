"""What a guard remembers of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mite_tf.losses import ModalityClassification

# The measurements of an epoch, and what was trained in it.
Row = Mapping[str, Any]

_MEASURED = (
    "matching_loss",
    "loss_if_alike",
    "similarity_gap",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_accuracy",
    "probe_accuracy",
    "rsum",
)


def row_of(
    model: Any, epoch: int, steps: int, logs: Mapping[str, Any], before: Sequence[Row]
) -> dict[str, Any]:
    """Takes from an epoch what the signs of failure are read from.

    Args:
        model: The `MITE` model in training.
        epoch: Number of the epoch, from 1.
        steps: Batches of the training so far.
        logs: Logs of the epoch.
        before: The rows of earlier epochs; where the probe is not trained at each, the last one's
            accuracy in the stage stands in.

    Returns:
        JSON values by name.
    """
    learned = model.adversarial_loss
    row = {
        "epoch": epoch,
        "steps": steps,
        "stage": logs.get("stage", ""),
        "acted": False,
        "trains_encoders": model.trains_encoders,
        "trains_discriminator": model.discriminator_steps > 0 and learned.uses_discriminator,
        "adversarial_weight": float(model.adversarial_weight.value),
    }
    row |= {key: float(logs[key]) for key in _MEASURED if key in logs}
    if isinstance(learned, ModalityClassification):
        row["loss_if_guessing"] = math.log(2)
    if before and before[-1]["stage"] == row["stage"] and "probe_accuracy" in before[-1]:
        row.setdefault("probe_accuracy", before[-1]["probe_accuracy"])
    return row


def in_stage(rows: Sequence[Row]) -> list[Row]:
    """Returns those rows that are of the stage of the last one."""
    return [row for row in rows if row["stage"] == rows[-1]["stage"]]


def key_of(row: Row, name: str) -> str:
    """Returns the configuration key of a stage's value, or its bare name without stages."""
    return f"stages.{row['stage']}.{name}" if row["stage"] else name
