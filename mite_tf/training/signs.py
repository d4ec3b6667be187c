"""The signs of a failing training, as functions of its epochs so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from mite_tf.losses import ModalityClassification

# The measurements of an epoch, and what was trained in it.
Row = Mapping[str, Any]

_LOSSES = ("matching_loss", "loss_if_alike", "adversarial_loss", "discriminator_loss")
_MEASURED = (*_LOSSES, "similarity_gap", "discriminator_accuracy", "probe_accuracy", "rsum")


# no example: it reads a model in training, see `Guard`
def row_of(
    model: Any, epoch: int, steps: int, logs: Mapping[str, Any], before: Sequence[Row]
) -> dict[str, Any]:
    """Takes from an epoch what the signs of failure are read from, as JSON values by name.

    Args:
        model: The `MITE` model in training.
        epoch: Number of the epoch, from 1.
        steps: Batches of the training so far.
        logs: Logs of the epoch.
        before: The rows of earlier epochs; the last probe of a stage stands in for absent ones.
    """
    learned = model.adversarial_loss
    row = {
        "epoch": epoch,
        "steps": steps,
        "stage": logs.get("stage", ""),
        "acted": False,
        "trains_encoders": model.trains_encoders,
        "has_discriminator": learned.uses_discriminator,
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
    """Returns those rows that are of the stage of the last one.

    Example:
        >>> in_stage([{"stage": "a"}, {"stage": "b"}, {"stage": "b"}])
        [{'stage': 'b'}, {'stage': 'b'}]
    """
    return [row for row in rows if row["stage"] == rows[-1]["stage"]]


def _key_of(row: Row, name: str) -> str:
    """The configuration key of a stage's value, or its bare name without stages."""
    return f"stages.{row['stage']}.{name}" if row["stage"] else name


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From which value on an epoch looks like that of a failing training.

    Args:
        patience: Epochs in a row that have to look so. A healthy training does for one or two.
        settling_steps: First batches, in which embeddings from scratch are nearly alike anyway.
        collapsed_gap: Pairs this little more similar than others: half of the usual margin.
        collapsed_loss: The loss then lies this near, as a share, to that of embeddings all alike.
            The loss of mere noise is higher.
        diverged: The matching loss is this many times its lowest in the stage, and above that of
            embeddings that are all alike: what had been learned is lost.
        high_probe: A fresh probe right this often finds the modalities lying apart.
        steady: A probe that falls by more than this in an epoch, or an adversarial loss by this
            share, shows that the game goes well: two standard errors of a probe of 1,000 images.
        sure: A discriminator right this often has won; a damped one stays at about 0.9.
        guessing: Against encoders that learn too, one right no more often hardly beats chance.
        behind: While the encoders rest, one that learns comes nearer than this to a fresh probe.
        worse_than_guessing: A loss this many times that of guessing is due to too large steps.
        indifferent: With both losses this near, as a share, to that of guessing, its answers are
            all alike, and there is nothing to defeat.

    Example:
        >>> Limits(patience=5).collapsed_gap
        0.1
    """

    patience: int = 3
    settling_steps: int = 100
    collapsed_gap: float = 0.1
    collapsed_loss: float = 0.1
    diverged: float = 2.0
    high_probe: float = 0.9
    steady: float = 0.02
    sure: float = 0.95
    guessing: float = 0.65
    behind: float = 0.2
    worse_than_guessing: float = 2.0
    indifferent: float = 0.01


class Sign(NamedTuple):
    """A way to fail: whether the last of some epochs shows it, what to say of it, what helps.

    Example:
        >>> [sign.kind for sign in SIGNS][:2]
        ['collapse', 'divergence']
    """

    kind: str
    seen: Callable[[Sequence[Row], Limits], bool]
    told: Callable[[Row], tuple[str, str]]
    remedy: Literal["go back", "lower the weight", ""] = ""


def streak(sign: Sign, rows: Sequence[Row], limits: Limits) -> int:
    """Counts the last epochs in a row that show a sign, since the guard last did something.

    Example:
        >>> rising = Sign("rising", lambda rows, limits: rows[-1]["loss"] > 1, str)
        >>> streak(rising, [{"acted": False, "loss": loss} for loss in (2, 1, 3, 4)], Limits())
        2
    """
    for count, row in enumerate(reversed(rows)):
        if row["acted"] or not sign.seen(rows[: len(rows) - count], limits):
            return count
    return len(rows)


def _collapsed(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    return (
        row["trains_encoders"]
        and row["steps"] > limits.settling_steps
        and abs(row["similarity_gap"]) < limits.collapsed_gap
        and abs(row["matching_loss"] / row["loss_if_alike"] - 1) < limits.collapsed_loss
    )


def _tell_collapse(row: Row) -> tuple[str, str]:
    return (
        "the embeddings have collapsed: matching pairs are hardly more similar than others "
        f"({row['similarity_gap']:+.3f}), and the loss is {row['matching_loss']:.3f}, where that "
        f"of embeddings all alike is {row['loss_if_alike']:.3f}",
        f"{_lower_steps(row)}, or set loss.negatives to 'soft' or 'sum', or "
        "embedding.standardize to true",
    )


def _diverged(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    lowest = min(each["matching_loss"] for each in in_stage(rows))
    return row["trains_encoders"] and row["matching_loss"] > max(
        limits.diverged * lowest, row["loss_if_alike"]
    )


def _tell_divergence(row: Row) -> tuple[str, str]:
    return (
        f"the matching loss diverges: it is {row['matching_loss']:.3f}, higher than that of "
        f"embeddings all alike ({row['loss_if_alike']:.3f}), after having been far lower",
        _lower_steps(row),
    )


def _wins(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    fought = [r["adversarial_loss"] for r in in_stage(rows) if r["adversarial_weight"] > 0]
    return (
        row["trains_discriminator"]
        and _probe_steadily_high(rows, limits)
        and row["adversarial_weight"] > 0
        and row["discriminator_accuracy"] >= limits.sure
        and not _loses(rows, limits)
        and len(fought) > 1
        and fought[-1] >= fought[-2] - limits.steady * abs(fought[-2])
    )


def _tell_winning(row: Row) -> tuple[str, str]:
    return (
        f"the discriminator wins: it is right in {row['discriminator_accuracy']:.0%}, the "
        f"adversarial loss does not fall ({row['adversarial_loss']:.3f}), and a fresh probe is "
        f"still right in {row['probe_accuracy']:.0%}",
        f"raise adversarial_loss.r1_penalty, or lower {_key_of(row, 'discriminator_learning_rate')}"
        f" or {_key_of(row, 'discriminator_steps')}",
    )


def _loses(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    if not row["trains_discriminator"]:
        return False
    accuracy, probe = row["discriminator_accuracy"], row.get("probe_accuracy", 0.0)
    behind = not row["trains_encoders"] and accuracy < probe - limits.behind
    says_one_thing = abs(accuracy - 0.5) < 1e-3 and probe >= limits.high_probe
    guessing = row.get("loss_if_guessing", float("inf"))
    losses = row["discriminator_loss"], abs(row["adversarial_loss"])
    indifferent = probe >= limits.high_probe and all(
        abs(loss / guessing - 1) < limits.indifferent for loss in losses
    )
    too_large = losses[0] > limits.worse_than_guessing * guessing
    return behind or says_one_thing or indifferent or too_large


def _tell_losing(row: Row) -> tuple[str, str]:
    probe = row.get("probe_accuracy")
    compared = "" if probe is None else f", where a fresh probe is in {probe:.0%}"
    return (
        f"the discriminator learns nothing: it is right in {row['discriminator_accuracy']:.0%}"
        f"{compared}, and its loss is {row['discriminator_loss']:.3g}",
        f"change {_key_of(row, 'discriminator_learning_rate')} (lower it if the loss is above "
        "0.69, which is that of guessing), lower adversarial_loss.r1_penalty, or enlarge "
        "discriminator.hidden_sizes",
    )


def _rotates(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    return (
        _probe_steadily_high(rows, limits)
        and row["adversarial_weight"] > 0
        and row["discriminator_accuracy"] <= limits.guessing
        and not _loses(rows, limits)
    )


def _tell_rotation(row: Row) -> tuple[str, str]:
    return (
        "the encoders run in circles round the discriminator: it is right in only "
        f"{row['discriminator_accuracy']:.0%}, yet a fresh probe in {row['probe_accuracy']:.0%}",
        f"lower {_key_of(row, 'adversarial_weight')}, or raise adversarial_loss.r1_penalty or "
        f"{_key_of(row, 'discriminator_steps')}",
    )


def _probe_steadily_high(rows: Sequence[Row], limits: Limits) -> bool:
    """Whether a fresh probe does well, and no worse than before, though a discriminator plays."""
    row = rows[-1]
    # Rows of an older checkpoint do not tell a discriminator at rest from none.
    plays = row.get("has_discriminator", row["trains_discriminator"])
    if not plays or row.get("probe_accuracy", 0.0) < limits.high_probe:
        return False
    before = [r["probe_accuracy"] for r in in_stage(rows)[:-1] if "probe_accuracy" in r]
    return not before or row["probe_accuracy"] >= before[-1] - limits.steady


def _lower_steps(row: Row) -> str:
    weight = f" or {_key_of(row, 'adversarial_weight')}" if row["adversarial_weight"] else ""
    return f"lower {_key_of(row, 'learning_rate')}{weight}"


SIGNS = (
    Sign("collapse", _collapsed, _tell_collapse, "go back"),
    Sign("divergence", _diverged, _tell_divergence, "go back"),
    Sign("winning discriminator", _wins, _tell_winning, "lower the weight"),
    Sign("losing discriminator", _loses, _tell_losing),
    Sign("rotation", _rotates, _tell_rotation, "lower the weight"),
)


# no example: it reads a model in training, see `Guard`
def not_finite(model: Any, logs: Mapping[str, Any], *, weights: bool) -> str:
    """Names the first log of a step, or weight, that is NaN or infinite; empty if all is finite.

    Looking at the `weights` too takes longer. They become so only after the losses of a batch were
    computed, and some activations hide it even then.
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
    """Says what is not finite since which batch of an epoch, and what to change.

    Example:
        >>> tell_not_finite("matching_loss", 6, {"stage": ""})[0]
        'matching_loss is not a finite number after batch 6'
    """
    advice = f"lower {_key_of(row, 'learning_rate')}, and look for such values in the features"
    if "adversarial" in broken or "discriminator" in broken:
        weight = _key_of(row, "adversarial_weight")
        advice = f"lower {_key_of(row, 'discriminator_learning_rate')} or {weight}"
    return f"{broken} is not a finite number after batch {batch}", advice
