"""The signs of a failing training, as functions of the epochs so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from mite_tf.training.guard.limits import Limits
from mite_tf.training.guard.rows import Row, in_stage, key_of


class Sign(NamedTuple):
    """A way to fail that shows at the end of an epoch.

    Attributes:
        kind: Its name.
        seen: Whether the last of some epochs shows it.
        told: What to say of that epoch: what is happening, and what to change.
        remedy: What helps without a change of the configuration, if anything does.
    """

    kind: str
    seen: Callable[[Sequence[Row], Limits], bool]
    told: Callable[[Row], tuple[str, str]]
    remedy: Literal["go back", "lower the weight", ""] = ""


def streak(sign: Sign, rows: Sequence[Row], limits: Limits) -> int:
    """Counts the last epochs in a row that show a sign, since the guard last did something."""
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
        f"{_lower_steps(row)}, or set loss.matching.negatives to 'soft' or 'sum', or "
        "model.standardize to true",
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
        _probe_steadily_high(rows, limits)
        and row["adversarial_weight"] > 0
        and row["discriminator_accuracy"] >= limits.sure
        and len(fought) > 1
        and fought[-1] >= fought[-2] - limits.steady * abs(fought[-2])
    )


def _tell_winning(row: Row) -> tuple[str, str]:
    return (
        f"the discriminator wins: it is right in {row['discriminator_accuracy']:.0%}, the "
        f"adversarial loss does not fall ({row['adversarial_loss']:.3f}), and a fresh probe is "
        f"still right in {row['probe_accuracy']:.0%}",
        f"raise loss.adversarial.r1_penalty, or lower {key_of(row, 'discriminator_learning_rate')}"
        f" or {key_of(row, 'discriminator_steps')}",
    )


def _loses(rows: Sequence[Row], limits: Limits) -> bool:
    row = rows[-1]
    if not row["trains_discriminator"]:
        return False
    accuracy, probe = row["discriminator_accuracy"], row.get("probe_accuracy", 0.0)
    behind = not row["trains_encoders"] and accuracy < probe - limits.behind
    says_one_thing = abs(accuracy - 0.5) < 1e-3 and probe >= limits.high_probe
    guessing = limits.worse_than_guessing * row.get("loss_if_guessing", float("inf"))
    return behind or says_one_thing or row["discriminator_loss"] > guessing


def _tell_losing(row: Row) -> tuple[str, str]:
    probe = f", where a fresh probe is in {row['probe_accuracy']:.0%}"
    return (
        f"the discriminator learns nothing: it is right in {row['discriminator_accuracy']:.0%}"
        f"{probe if 'probe_accuracy' in row else ''}, and its loss is "
        f"{row['discriminator_loss']:.3g}",
        f"change {key_of(row, 'discriminator_learning_rate')} (lower it if the loss is above 0.69, "
        "which is that of guessing), or enlarge discriminator.hidden_sizes",
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
        f"lower {key_of(row, 'adversarial_weight')}, or raise loss.adversarial.r1_penalty or "
        f"{key_of(row, 'discriminator_steps')}",
    )


def _probe_steadily_high(rows: Sequence[Row], limits: Limits) -> bool:
    """Whether a fresh probe does well, and no worse than before, though a discriminator plays."""
    row = rows[-1]
    if not row["trains_discriminator"] or row.get("probe_accuracy", 0.0) < limits.high_probe:
        return False
    before = [r["probe_accuracy"] for r in in_stage(rows)[:-1] if "probe_accuracy" in r]
    return not before or row["probe_accuracy"] >= before[-1] - limits.steady


def _lower_steps(row: Row) -> str:
    weight = f" or {key_of(row, 'adversarial_weight')}" if row["adversarial_weight"] else ""
    return f"lower {key_of(row, 'learning_rate')}{weight}"


SIGNS = (
    Sign("collapse", _collapsed, _tell_collapse, "go back"),
    Sign("divergence", _diverged, _tell_divergence, "go back"),
    Sign("winning discriminator", _wins, _tell_winning, "lower the weight"),
    Sign("losing discriminator", _loses, _tell_losing),
    Sign("rotation", _rotates, _tell_rotation, "lower the weight"),
)
