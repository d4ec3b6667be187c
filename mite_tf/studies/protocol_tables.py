"""Tables of galleries and of what else one space is good for, with rivals of the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mite_tf.evaluation import SCORING_NAMES, Difference
from mite_tf.reports.protocol_report import COLUMNS, NOTES
from mite_tf.reports.study_report import StudyTable
from mite_tf.studies.measurement import Measurement, by_variant
from mite_tf.studies.tables import Findings


class Contender(NamedTuple):
    """A variant under a scoring."""

    variant: str
    scoring: str

    @property
    def label(self) -> str:
        """What tables call it."""
        name = SCORING_NAMES[self.scoring]
        return self.variant if self.scoring == "cosine" else f"{self.variant}, {name}"


class _Column(NamedTuple):
    protocol: str
    measure: str
    label: str


def _columns(*protocols: str, fewer: Mapping[str, Sequence[str]] | None = None) -> list[_Column]:
    return [
        _Column(protocol, measure, f"{protocol}: {label}")
        for protocol in protocols
        for measure, label in COLUMNS[protocol].items()
        if measure in (fewer or {}).get(protocol, COLUMNS[protocol])
    ]


_GALLERIES = _columns(
    "mixed",
    "everything",
    "recall",
    fewer={
        "everything": ("caption_to_image_r1", "caption_to_image_r10", "images_in_ten"),
        "recall": ("rsum",),
    },
)
_SPACES = _columns("transfer", "grouping", "stability")
_TABLES = {
    "Galleries of images and captions": (_GALLERIES, ("mixed", "everything", "recall")),
    "Transfer, groups and stability": (_SPACES, ("transfer", "grouping", "stability")),
}


def protocol_tables(found: Findings) -> list[StudyTable]:
    """Lays out what protocols beyond recall found; nothing where none were measured."""
    tables = []
    for heading, (columns, protocols) in _TABLES.items():
        shown = [c for c in columns if any(_values(found, each, c) for each in contenders(found))]
        rows = [_means(found, each, shown) for each in contenders(found)]
        rows = [row for row in rows if any(row[2:-1])]
        if not rows:
            continue
        notes = " ".join(f"{name.capitalize()}: {NOTES[name]}" for name in protocols)
        tables.append(
            StudyTable(
                heading,
                f"In percent, means ± standard deviations over seeds. {notes}",
                ["variant", "seeds", *(column.label for column in shown), "command"],
                rows,
            )
        )
        if differences := _differences(found, shown):
            tables.append(
                StudyTable(
                    f"{heading}: differences",
                    "Paired by seed, in percentage points, with Student's 95 % interval for the "
                    f"mean over all seeds; against {found.against} as it is, with hubs corrected "
                    "on both sides, and against what can be done to it after training.",
                    ["difference", "seeds", *(column.label for column in shown), "command"],
                    differences,
                )
            )
    return tables


def contenders(found: Findings) -> list[Contender]:
    """Returns each variant by cosine and with hubs corrected; `against` under all scorings."""
    return [
        Contender(variant, scoring)
        for variant in by_variant(found.last)
        for scoring in SCORING_NAMES
        if variant == found.against or scoring in ("cosine", "hubs")
    ]


def protocol_differences(found: Findings) -> list[dict[str, object]]:
    """Returns all that `protocol_tables` compares, ready for JSON."""
    return [
        {
            "variant": ours.variant,
            "scoring": ours.scoring,
            "against": theirs.variant,
            "against_scoring": theirs.scoring,
            "protocol": column.protocol,
            "measure": column.measure,
            "differences": difference.differences,
            "mean": difference.mean,
            "student": difference.student,
        }
        for ours, theirs in _pairs(found)
        for column in (*_GALLERIES, *_SPACES)
        if (difference := _difference(found, ours, theirs, column)) is not None
    ]


def _pairs(found: Findings) -> list[tuple[Contender, Contender]]:
    others = [variant for variant in by_variant(found.last) if variant != found.against]
    return [
        (Contender(variant, "hubs" if scoring == "hubs" else "cosine"), theirs)
        for variant in others
        for scoring in SCORING_NAMES
        for theirs in [Contender(found.against, scoring)]
    ]


def _values(found: Findings, contender: Contender, column: _Column) -> dict[int, float]:
    """Returns values by seed."""
    own = [each for each in found.last if each.variant == contender.variant]
    values = {each.seed: _value(each, contender, column) for each in own}
    return {seed: value for seed, value in values.items() if value is not None}


def _value(measured: Measurement, contender: Contender, column: _Column) -> float | None:
    return measured.value(column.protocol, contender.scoring, column.measure)


def _means(found: Findings, contender: Contender, columns: Sequence[_Column]) -> list[str]:
    by_column = [list(_values(found, contender, column).values()) for column in columns]
    cells = [
        f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")
        if values
        else ""
        for values in by_column
    ]
    seeds = [each.seed for each in found.last if each.variant == contender.variant]
    command = found.commands.study([contender.variant], seeds)
    return [contender.label, str(max(map(len, by_column), default=0)), *cells, command]


def _difference(
    found: Findings, ours: Contender, theirs: Contender, column: _Column
) -> Difference | None:
    left, right = _values(found, ours, column), _values(found, theirs, column)
    seeds = sorted(left.keys() & right.keys())
    return Difference.of({s: left[s] - right[s] for s in seeds}, None) if seeds else None


def _differences(found: Findings, columns: Sequence[_Column]) -> list[list[str]]:
    rows = []
    for ours, theirs in _pairs(found):
        compared = [_difference(found, ours, theirs, column) for column in columns]
        measured = [each for each in compared if each is not None]
        if measured:
            seeds = list(measured[0].differences)
            command = found.commands.study([theirs.variant, ours.variant], seeds)
            name = f"{ours.label} − {theirs.label}"
            rows.append([name, str(len(seeds)), *map(_told, compared), command])
    return rows


def _told(difference: Difference | None) -> str:
    if difference is None:
        return ""
    interval = difference.student
    ends = f" ({interval.low:+.1f} to {interval.high:+.1f})" if interval is not None else ""
    return f"{difference.mean:+.1f}{ends}"
