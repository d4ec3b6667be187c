"""Tables of what a study found, each row with the command that reproduces it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mite_tf.evaluation import Difference, against_chance
from mite_tf.evaluation.differences import Interval
from mite_tf.reports.study_report import StudyTable
from mite_tf.runs import Config
from mite_tf.studies.commands import Commands
from mite_tf.studies.measurement import Measurement, by_variant

# What tables call a measure, and its decimals.
_LABELS = {
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
_MAIN = (
    "rsum",
    "image_to_text_r1",
    "text_to_image_r1",
    "probe_accuracy",
    "linear_probe_accuracy",
    "centroid_gap",
    "mmd",
    "relative_modality_gap",
)
_SUMMARY = ("image_to_text_r1", "text_to_image_r1", "rsum", "probe_accuracy", "centroid_gap")


@dataclass(frozen=True)
class Findings:
    """What a study found on one split, ready to be reported.

    `last` are the measurements that are compared, at most one for each variant and seed, and
    `differences` those of each other variant to `against`, by measure; they are empty without a
    seed in common. Warnings of the guard and configurations are by variant and seed.
    """

    measurements: Sequence[Measurement]
    last: Sequence[Measurement]
    against: str
    differences: Mapping[str, Mapping[str, Difference]]
    chance: Mapping[str, float]
    warnings: Mapping[tuple[str, int], Sequence[str]]
    configs: Mapping[tuple[str, int], Config]
    commands: Commands

    @property
    def kinds(self) -> list[str]:
        """Names of the measures of near misses; none without rendered scenes."""
        return [f"near_miss_{kind}" for kind in self.last[0].near_misses]

    @property
    def notes(self) -> list[str]:
        """Sentences on variants that do not beat chance, and on measures that are left out."""
        told = {
            name: against_chance(
                float(np.mean([each.measures["rsum"] for each in group])),
                self.chance["rsum"],
                self.chance["rsum_deviation"],
            )
            for name, group in by_variant(self.last).items()
        }
        below = [f"{name}: {sentence}" for name, sentence in told.items() if sentence]
        left_out = self.last[0].left_out.items()
        return below + [f"{_label(name)} is left out: {reason}" for name, reason in left_out]

    def train_command(self, variant: str, seed: int) -> str:
        """Returns the command that trains one run by itself."""
        return self.commands.train(self.configs[variant, seed], f"runs/{variant}-seed-{seed}")


def study_tables(found: Findings, protocols: Sequence[StudyTable] = ()) -> list[StudyTable]:
    """Lays out what a study found, the most important tables first, with those of protocols."""
    compared = any(found.differences.values())
    tables = [_summary(found)]
    if compared:
        tables.append(_differences(found))
    tables.append(_all_measures(found))
    if found.kinds:
        tables.append(_near_misses(found))
        if compared:
            tables.append(_near_miss_differences(found))
    tables += [*protocols, _stages(found), _runs(found)]
    if found.warnings:
        tables.append(_warnings(found))
    return tables


def _summary(found: Findings) -> StudyTable:
    """Lays out what matters most, narrow enough for a terminal."""
    rows = _rows_of_means(found, _SUMMARY)
    for row in rows:
        rsum = found.differences.get(row[0], {}).get("rsum")
        difference = "" if rsum is None else _number(rsum.mean, "rsum", sign=True)
        if rsum is not None and rsum.student is not None:
            difference += f" ({_ends(rsum.student, 'rsum')})"
        row.insert(-1, difference)
    chance = [_number(found.chance.get(measure), measure) for measure in _SUMMARY]
    rows.append(["random order", "", *chance, "", ""])
    return StudyTable(
        "Summary",
        "Means ± standard deviations over seeds. The probe is a new classifier that tells images "
        "from captions by their embeddings: at 0.5, which is chance, they look alike. The last "
        "column is paired by seed, with Student's 95 % interval for the mean over all seeds."
        + "".join(f" {sentence}" for sentence in found.notes),
        ["variant", "seeds", *map(_label, _SUMMARY), f"RSUM minus {found.against}", "command"],
        rows,
    )


def _differences(found: Findings) -> StudyTable:
    return StudyTable(
        f"Differences to {found.against}",
        f"Variant minus {found.against}, paired by seed, with 95 % intervals. Student's interval "
        "is the one to judge by: it says where the mean difference over all seeds lies, and allows "
        "for the few that were run. The percentile bootstrap over seeds is too narrow for so few. "
        "The bootstrap over queries and seeds draws images with all their captions, and seeds, "
        "again at once; it also says what another set of queries would have changed, with the "
        "same candidates.",
        [
            "variant", "measure", "difference", "Student, over seeds", "bootstrap, over seeds",
            "bootstrap, over queries and seeds", "seeds", "command",
        ],
        _rows_of_differences(found, _MAIN, ("student", "over_seeds", "over_queries")),
    )  # fmt: skip


def _all_measures(found: Findings) -> StudyTable:
    chance = [_number(found.chance.get(measure), measure) for measure in _LABELS]
    return StudyTable(
        "All measures",
        "Means ± standard deviations over seeds. R@K is the percentage of queries with a right "
        "answer among the first K results, for an image any of its captions; RSUM is the sum of "
        "all six. Probe (with a hidden layer) and linear probe are trained on embeddings of some "
        "images and their captions and judged on others; 0.5 is chance. The measures after them "
        "are 0 where both distributions are the same.",
        ["variant", "seeds", *map(_label, _LABELS), "command"],
        [*_rows_of_means(found, tuple(_LABELS)), ["random order", "", *chance, ""]],
    )


def _near_misses(found: Findings) -> StudyTable:
    comparisons = [str(confusion.comparisons) for confusion in found.last[0].near_misses.values()]
    return StudyTable(
        "Near misses",
        "Percentage of comparisons in which a scene that differs from the caption's own in one "
        "thing, so that the caption is false of it, was at least as similar to the caption.",
        ["variant", "seeds", *map(_label, found.kinds), "command"],
        [
            *_rows_of_means(found, found.kinds),
            ["comparisons", "", *comparisons, ""],
            ["random order", "", *["50.0"] * len(comparisons), ""],
        ],
    )


def _near_miss_differences(found: Findings) -> StudyTable:
    return StudyTable(
        f"Near misses: differences to {found.against}",
        f"Variant minus {found.against}, paired by seed, in percentage points, with 95 % "
        "intervals; below 0 where the variant falls for fewer.",
        [
            "variant", "kind", "difference", "Student, over seeds", "bootstrap, over seeds",
            "seeds", "command",
        ],
        _rows_of_differences(found, found.kinds, ("student", "over_seeds")),
    )  # fmt: skip


def _stages(found: Findings) -> StudyTable:
    rows = []
    for name, group in by_variant(found.measurements).items():
        for stage in dict.fromkeys(each.stage for each in group):
            at_stage = [each for each in group if each.stage == stage]
            seeds = [each.seed for each in at_stage]
            means = [_mean(at_stage, measure) for measure in _MAIN]
            command = found.commands.study([name], seeds, stage=stage)
            rows.append([name, stage, str(len(at_stage)), *means, command])
    return StudyTable(
        "Stage by stage",
        "The same after each stage that trains the encoders, in order of training.",
        ["variant", "stage", "seeds", *map(_label, _MAIN), "command"],
        rows,
    )


def _runs(found: Findings) -> StudyTable:
    rows = [
        [
            each.variant,
            str(each.seed),
            f"{each.stage} {each.epoch}",
            *(_number(each.measures.get(measure), measure) for measure in _MAIN),
            found.train_command(each.variant, each.seed),
        ]
        for each in found.last
    ]
    return StudyTable(
        "Runs",
        "Each run by itself, with the epoch, counted over all stages, whose encoders are measured.",
        ["variant", "seed", "epoch", *map(_label, _MAIN), "command"],
        rows,
    )


def _warnings(found: Findings) -> StudyTable:
    rows = [
        [name, str(seed), sentence, found.train_command(name, seed)]
        for (name, seed), sentences in found.warnings.items()
        for sentence in sentences
    ]
    return StudyTable(
        "Warnings",
        "What went wrong while training. Runs that stopped for it are in no other table.",
        ["variant", "seed", "warning", "command"],
        rows,
    )


def _rows_of_means(found: Findings, measures: Sequence[str]) -> list[list[str]]:
    """Returns a row for each variant: means ± standard deviations over its seeds."""
    rows = []
    for name, group in by_variant(found.last).items():
        command = found.commands.study([name], [each.seed for each in group])
        means = [_mean(group, measure) for measure in measures]
        rows.append([name, str(len(group)), *means, command])
    return rows


def _rows_of_differences(
    found: Findings, measures: Sequence[str], intervals: Sequence[str]
) -> list[list[str]]:
    """Returns a row for each variant and measure: the mean difference and its intervals."""
    return [
        [
            name,
            _label(measure),
            _number(each.mean, measure, sign=True),
            *(_ends(getattr(each, interval), measure) for interval in intervals),
            str(len(each.differences)),
            found.commands.study([found.against, name], list(each.differences)),
        ]
        for name, by_measure in found.differences.items()
        for measure in measures
        if (each := by_measure.get(measure)) is not None
    ]


def _label(measure: str) -> str:
    return _LABELS[measure][0] if measure in _LABELS else measure.removeprefix("near_miss_")


def _number(value: float | None, measure: str, *, sign: bool = False) -> str:
    decimals = _LABELS[measure][1] if measure in _LABELS else 1
    return "" if value is None else f"{value:{'+' if sign else ''}.{decimals}f}"


def _mean(group: Sequence[Measurement], measure: str) -> str:
    values = [each.values[measure] for each in group if measure in each.values]
    if not values:  # too few images for it
        return ""
    mean = _number(float(np.mean(values)), measure)
    if len(values) < 2:
        return mean
    return f"{mean} ± {_number(float(np.std(values, ddof=1)), measure)}"


def _ends(interval: Interval | None, measure: str) -> str:
    return " to ".join(_number(end, measure, sign=True) for end in interval or ())
