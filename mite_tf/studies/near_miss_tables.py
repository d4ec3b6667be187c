"""Tables of what rendered scenes alone can tell: which near misses a model falls for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mite_tf.studies.commands import Commands
from mite_tf.studies.comparison import Comparison, by_variant
from mite_tf.studies.measurement import Measurement
from mite_tf.studies.tables import Table, ends, spread


def near_misses_table(last: Sequence[Measurement], commands: Commands) -> Table:
    """Lays out how often near misses of each kind were preferred."""
    kinds = list(last[0].near_misses)
    rows = []
    for name, group in by_variant(last).items():
        values = [[each.near_misses[kind].percent for each in group] for kind in kinds]
        seeds = [each.seed for each in group]
        cells = [spread(percents, 1) for percents in values]
        rows.append([name, str(len(group)), *cells, commands.study([name], seeds)])
    counts = [f"{confusion.comparisons}" for confusion in last[0].near_misses.values()]
    rows.append(["comparisons", "", *counts, ""])
    rows.append(["random order", "", *["50.0"] * len(kinds), ""])
    return Table(
        "Near misses",
        "Percentage of comparisons in which a scene that differs from the caption's own in one "
        "thing, so that the caption is false of it, was at least as similar to the caption.",
        ["variant", "seeds", *kinds, "command"],
        rows,
    )


def near_miss_differences_table(
    kinds: Sequence[str],
    against: str,
    compared: Mapping[str, Mapping[str, Comparison]],
    commands: Commands,
) -> Table:
    """Lays out paired differences in near misses of each kind, with their intervals."""
    rows = [
        [
            name,
            kind,
            f"{each.mean:+.1f}",
            ends(each.student, 1),
            ends(each.over_seeds, 1),
            str(len(each.differences)),
            commands.study([against, name], list(each.differences)),
        ]
        for name, by_measure in compared.items()
        for kind in kinds
        if (each := by_measure.get(f"near_miss_{kind}")) is not None
    ]
    return Table(
        f"Near misses: differences to {against}",
        f"Variant minus {against}, paired by seed, in percentage points, with 95 % intervals; "
        "below 0 where the variant falls for fewer.",
        [
            "variant", "kind", "difference", "Student, over seeds", "bootstrap, over seeds",
            "seeds", "command",
        ],
        rows,
    )  # fmt: skip
