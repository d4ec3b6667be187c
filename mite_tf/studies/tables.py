"""Tables of a study, as texts, for a terminal, a document and a page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mite_tf.runs import Config
from mite_tf.studies.commands import Commands
from mite_tf.studies.comparison import Comparison, by_variant
from mite_tf.studies.measurement import Measurement
from mite_tf.studies.statistics import Interval

# What tables call a measure, and its decimals.
LABELS = {
    "image_to_text_r1": ("image → text R@1", 1),
    "image_to_text_r5": ("R@5", 1),
    "image_to_text_r10": ("R@10", 1),
    "image_to_text_median_rank": ("median rank", 1),
    "text_to_image_r1": ("text → image R@1", 1),
    "text_to_image_r5": ("R@5", 1),
    "text_to_image_r10": ("R@10", 1),
    "text_to_image_median_rank": ("median rank", 1),
    "rsum": ("RSUM", 1),
    "probe_accuracy": ("probe", 3),
    "linear_probe_accuracy": ("linear probe", 3),
    "centroid_gap": ("centroid gap", 3),
    "mmd": ("MMD", 4),
    "relative_modality_gap": ("relative gap", 3),
}
_DIRECTIONS = {"image_to_text": "image → text", "text_to_image": "text → image"}
SHORT = (
    "rsum",
    "image_to_text_r1",
    "text_to_image_r1",
    "probe_accuracy",
    "linear_probe_accuracy",
    "centroid_gap",
    "mmd",
    "relative_modality_gap",
)


class Table(NamedTuple):
    """A table of texts.

    Attributes:
        heading: What it shows.
        note: How to read it.
        header: Names of the columns; the last one is `command`.
        rows: As long as the header.
    """

    heading: str
    note: str
    header: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """Returns heading, note and table in Markdown.

        Example:
            >>> print(Table("Runs", "Two.", ["run", "command"], [["a", "mite demo"]]).to_markdown())
            ## Runs
            <BLANKLINE>
            Two.
            <BLANKLINE>
            | run | command |
            | --- | --- |
            | a | `mite demo` |
            <BLANKLINE>
        """
        rows = [[*row[:-1], f"`{row[-1]}`" if row[-1] else ""] for row in self.rows]
        lines = [self.header, ["---"] * len(self.header), *rows]
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in escaped)
        return f"## {self.heading}\n\n{self.note}\n\n{table}\n"


def summary_table(
    last: Sequence[Measurement],
    against: str,
    compared: Mapping[str, Mapping[str, Comparison]],
    commands: Commands,
) -> Table:
    """Lays out what matters most, in a table that is narrow enough for a terminal."""
    rows = []
    for name, group in by_variant(last).items():
        rsum = compared.get(name, {}).get("rsum")
        difference = "" if rsum is None else _number(rsum.mean, "rsum", sign=True)
        if rsum is not None and rsum.student is not None:
            difference += f" ({_interval(rsum.student, 'rsum')})"
        recalls = [_mean(group, f"{direction}_r1") for direction in _DIRECTIONS]
        means = [_mean(group, measure) for measure in ("rsum", "probe_accuracy", "centroid_gap")]
        command = commands.study([name], [each.seed for each in group])
        rows.append([name, str(len(group)), *recalls, *means, difference, command])
    return Table(
        "Summary",
        "Means ± standard deviations over seeds. The probe is a new classifier that tells images "
        "from captions by their embeddings: at 0.5, which is chance, they look alike. The last "
        "column is paired by seed, with Student's 95 % interval for the mean over all seeds.",
        [
            "variant", "seeds", *(f"{arrow} R@1" for arrow in _DIRECTIONS.values()), "RSUM",
            "probe", "centroid gap", f"RSUM minus {against}", "command",
        ],
        rows,
    )  # fmt: skip


def variants_table(
    last: Sequence[Measurement], chance: Mapping[str, float], commands: Commands
) -> Table:
    """Lays out every measure of each variant, as mean ± standard deviation over seeds."""
    rows = [
        [
            name,
            str(len(group)),
            *(_mean(group, measure) for measure in LABELS),
            commands.study([name], [each.seed for each in group]),
        ]
        for name, group in by_variant(last).items()
    ]
    rows.append(["random order", "", *(_number(chance.get(key), key) for key in LABELS), ""])
    return Table(
        "All measures",
        "Means ± standard deviations over seeds. R@K is the percentage of queries with a right "
        "answer among the first K results, for an image any of its captions; RSUM is the sum of "
        "all six. Probe (with a hidden layer) and linear probe are trained on embeddings of some "
        "images and their captions and judged on others; 0.5 is chance. The measures after them "
        "are 0 where both distributions are the same.",
        ["variant", "seeds", *(label for label, _ in LABELS.values()), "command"],
        rows,
    )


def differences_table(
    against: str, compared: Mapping[str, Mapping[str, Comparison]], commands: Commands
) -> Table:
    """Lays out paired differences with their intervals."""
    rows = [
        [
            name,
            LABELS[measure][0],
            _number(each.mean, measure, sign=True),
            _interval(each.student, measure),
            _interval(each.over_seeds, measure),
            _interval(each.over_queries, measure),
            str(len(each.differences)),
            commands.study([against, name], list(each.differences)),
        ]
        for name, by_measure in compared.items()
        for measure in SHORT
        if (each := by_measure.get(measure)) is not None
    ]
    return Table(
        f"Differences to {against}",
        f"Variant minus {against}, paired by seed, with 95 % intervals. Student's interval is the "
        "one to judge by: it says where the mean difference over all seeds lies, and allows for "
        "the few that were run. The percentile bootstrap over seeds is too narrow for so few. "
        "The bootstrap over queries and seeds draws images with all their captions, and seeds, "
        "again at once; it also says what another set of queries would have changed, with the "
        "same candidates.",
        [
            "variant", "measure", "difference", "Student, over seeds", "bootstrap, over seeds",
            "bootstrap, over queries and seeds", "seeds", "command",
        ],
        rows,
    )  # fmt: skip


def stages_table(measurements: Sequence[Measurement], commands: Commands) -> Table:
    """Lays out the main measures after each stage."""
    rows = []
    for name, group in by_variant(measurements).items():
        for stage in dict.fromkeys(each.stage for each in group):
            at_stage = [each for each in group if each.stage == stage]
            seeds = [each.seed for each in at_stage]
            means = [_mean(at_stage, measure) for measure in SHORT]
            command = commands.study([name], seeds, stage=stage)
            rows.append([name, stage, str(len(at_stage)), *means, command])
    return Table(
        "Stage by stage",
        "The same after each stage that trains the encoders, in order of training.",
        ["variant", "stage", "seeds", *(LABELS[measure][0] for measure in SHORT), "command"],
        rows,
    )


def runs_table(
    last: Sequence[Measurement], configs: Mapping[tuple[str, int], Config], commands: Commands
) -> Table:
    """Lays out every run by itself, with the command that trains it alone."""
    rows = [
        [
            each.variant,
            str(each.seed),
            f"{each.stage} {each.epoch}",
            *(_number(each.measures[measure], measure) for measure in SHORT),
            _alone(each.variant, each.seed, configs, commands),
        ]
        for each in last
    ]
    return Table(
        "Runs",
        "Each run by itself, with the epoch, counted over all stages, whose encoders are measured.",
        ["variant", "seed", "epoch", *(LABELS[measure][0] for measure in SHORT), "command"],
        rows,
    )


def warnings_table(
    warnings: Mapping[tuple[str, int], Sequence[str]],
    configs: Mapping[tuple[str, int], Config],
    commands: Commands,
) -> Table:
    """Lays out what the guard said of runs, among them those that failed."""
    rows = [
        [name, str(seed), sentence, _alone(name, seed, configs, commands)]
        for (name, seed), sentences in warnings.items()
        for sentence in sentences
    ]
    return Table(
        "Warnings",
        "What went wrong while training. Runs that stopped for it are in no other table.",
        ["variant", "seed", "warning", "command"],
        rows,
    )


def print_table(table: Table, *, console: Console | None = None) -> None:
    """Prints a table without its commands.

    Args:
        table: The table.
        console: Where to print; standard output if left out.
    """
    grid = RichTable(box=SIMPLE)
    for position, name in enumerate(table.header[:-1]):
        grid.add_column(Text(name), justify="right" if position else "left", no_wrap=not position)
    for row in table.rows:
        grid.add_row(*map(Text, row[:-1]))
    (console or Console()).print(grid)


def spread(values: Sequence[float], decimals: int) -> str:
    """Writes the mean of some values, with their standard deviation if there are several.

    Example:
        >>> spread([1.0, 2.0, 3.0], 1)
        '2.0 ± 1.0'
    """
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def ends(interval: Interval | None, decimals: int) -> str:
    """Writes an interval; nothing where there is none.

    Example:
        >>> ends(Interval(-1.23, 4.0), 1)
        '-1.2 to +4.0'
    """
    return " to ".join(f"{end:+.{decimals}f}" for end in interval or ())


def _alone(
    name: str, seed: int, configs: Mapping[tuple[str, int], Config], commands: Commands
) -> str:
    return commands.train(configs[name, seed], f"runs/{name}-seed-{seed}")


def _mean(group: Sequence[Measurement], measure: str) -> str:
    return spread([each.measures[measure] for each in group], LABELS[measure][1])


def _number(value: float | None, measure: str, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:{'+' if sign else ''}.{LABELS[measure][1]}f}"


def _interval(interval: Interval | None, measure: str) -> str:
    return ends(interval, LABELS[measure][1])
