"""Figures of a study: every seed, the differences, the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mite_tf.reports.figures import COLOURS, INK, SOFT, legend_below, new_figure
from mite_tf.studies.comparison import Comparison, by_variant
from mite_tf.studies.measurement import Measurement
from mite_tf.studies.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PARTS = (
    "95 % interval over seeds (Student)",
    "over queries and seeds (bootstrap)",
    "a seed",
    "mean",
)
_COURSES = {
    "rsum": "recall sum (0 to 600)",
    "probe_accuracy": "probe accuracy (share)",
    "centroid_gap": "centroid gap",
}


def plot_variants(last: Sequence[Measurement]) -> Figure:
    """Draws recall sum and probe accuracy of each variant, with a dot for each seed.

    Args:
        last: At most one measurement for each variant and seed.

    Returns:
        The figure: two panels; grey lines join the runs of one seed, bars are means, from
        three seeds on with Student's 95 % interval.
    """
    groups = by_variant(last)
    figure, panels = new_figure(_best(groups), 2, height=3.9)
    for panel, measure, label in zip(
        panels,
        ("rsum", "probe_accuracy"),
        ("recall sum (0 to 600)", "accuracy of a fresh probe (share)"),
        strict=True,
    ):
        _join_seeds(panel, groups, measure)
        for x, group in enumerate(groups.values()):
            values = [each.measures[measure] for each in group]
            colour = COLOURS[x % len(COLOURS)]
            panel.scatter([x] * len(values), values, s=28, color=colour, zorder=3)
            _mark_mean(panel, x + 0.18, values, colour)
        panel.set_xticks(range(len(groups)), list(groups), rotation=20 if len(groups) > 3 else 0)
        panel.set_xlim(-0.5, len(groups) - 0.5)
        panel.set_ylabel(label)
    panels[0].set_title("A dot is a run; grey lines join runs of one seed.", fontsize=10)
    panels[1].set_title("At chance, images and captions look alike.", fontsize=10)
    panels[1].axhline(0.5, color=INK, linestyle=":", linewidth=1.2)
    return figure


def plot_differences(comparisons: Sequence[Comparison]) -> Figure:
    """Draws paired differences of the recall sum with their intervals.

    Args:
        comparisons: Comparisons of recall sums, at least one, with the same other variant.

    Returns:
        The figure: a row for each variant; dots are seeds.
    """
    against = comparisons[0].against
    title = f"Where the bar is clear of the line at 0, retrieval differs from that of {against}."
    figure, [panel] = new_figure(title, 1, height=1.2 + 0.6 * len(comparisons))
    for y, each in enumerate(comparisons):
        over_seeds, over_queries, dots, mean = _PARTS if y == 0 else [""] * len(_PARTS)
        for interval, place, label, colour, width in (
            (each.student, y, over_seeds, COLOURS[0], 5),
            (each.over_queries, y + 0.2, over_queries, COLOURS[1], 2),
        ):
            if interval is not None:
                style: dict[str, Any] = {"color": colour, "linewidth": width, "alpha": 0.6}
                panel.hlines(place, *interval, label=label, **style)
        values = list(each.differences.values())
        panel.scatter(values, [y - 0.2] * len(values), s=14, color=SOFT, label=dots)
        panel.scatter([each.mean], [y], s=50, color=COLOURS[0], zorder=3, label=mean)
    panel.axvline(0, color=INK, linestyle=":", linewidth=1.2)
    panel.set_yticks(range(len(comparisons)), [each.variant for each in comparisons])
    panel.set_ylim(len(comparisons) - 0.5, -0.5)
    panel.set_xlabel(f"recall sum minus that of {against}")
    legend_below(figure, panel)
    return figure


def plot_courses(histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure:
    """Draws recall sum, probe accuracy and centroid gap over the epochs.

    Args:
        histories: By variant: the histories of its runs, see `Run.history`. Columns that are
            not there are left out.

    Returns:
        The figure: lines are means over seeds, bands hold all of them; dashed lines mark where
        a stage of the first variant begins.

    Example:
        >>> rows = [{"stage": "align", "rsum": 200.0}, {"stage": "finetune", "rsum": 210.0}]
        >>> [panel] = plot_courses({"mite": [rows, rows]}).axes
        >>> panel.get_ylabel()
        'recall sum (0 to 600)'
    """
    series = {
        measure: {name: _over_epochs(runs, measure) for name, runs in histories.items()}
        for measure in _COURSES
    }
    there = [m for m in _COURSES if any(np.isfinite(v).any() for v in series[m].values())]
    title = "Lines are means over seeds, bands hold all seeds; stages begin at dashed lines."
    figure, panels = new_figure(title, len(there), height=2.9)
    for panel, measure in zip(panels, there, strict=True):
        for position, (name, values) in enumerate(series[measure].items()):
            epochs = np.flatnonzero(np.isfinite(values).any(axis=0))
            colour = COLOURS[position % len(COLOURS)]
            known = values[:, epochs]
            mean = np.nanmean(known, axis=0)
            panel.plot(epochs + 1, mean, color=colour, marker="o", markersize=3, label=name)
            low, high = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
            panel.fill_between(epochs + 1, low, high, color=colour, alpha=0.18, linewidth=0)
        if measure == "probe_accuracy":
            panel.axhline(0.5, color=INK, linestyle=":", linewidth=1.2)
        _mark_stages(panel, next(iter(histories.values()))[0])
        panel.set_ylabel(_COURSES[measure])
        panel.set_xlabel("epoch over all stages", fontsize=9)
        panel.locator_params(axis="x", integer=True)
    legend_below(figure, panels[0])
    return figure


def _best(groups: Mapping[str, Sequence[Measurement]]) -> str:
    """Says which variant retrieves best, over the seeds that all have."""
    seeds = set.intersection(*({each.seed for each in group} for group in groups.values()))
    if not seeds:
        return "Recall sum and probe accuracy of variants without a seed in common."
    means = {
        name: float(np.mean([each.measures["rsum"] for each in group if each.seed in seeds]))
        for name, group in groups.items()
    }
    best = max(means, key=lambda name: means[name])
    return (
        f"{best} has the highest mean recall sum, {means[best]:.1f} of 600 (seeds that all have)."
    )


def _join_seeds(panel: Axes, groups: Mapping[str, Sequence[Measurement]], measure: str) -> None:
    for seed in {each.seed for group in groups.values() for each in group}:
        points = [
            (x, each.measures[measure])
            for x, group in enumerate(groups.values())
            for each in group
            if each.seed == seed
        ]
        panel.plot(*zip(*points, strict=True), color=SOFT, linewidth=0.7, alpha=0.6, zorder=1)


def _mark_mean(panel: Axes, x: float, values: Sequence[float], colour: str) -> None:
    mean, interval = float(np.mean(values)), t_interval(values)
    panel.plot([x - 0.08, x + 0.08], [mean, mean], color=colour, linewidth=2)
    if interval is not None and len(values) > 2:  # that of two is too wide to draw to scale
        panel.vlines(x, *interval, color=colour, linewidth=2)


def _over_epochs(runs: Sequence[Sequence[Mapping[str, Any]]], measure: str) -> NDArray[np.float64]:
    """Values of shape `[runs, epochs]`; NaN where a run has none."""
    values = np.full((len(runs), max(map(len, runs), default=0)), np.nan)
    for row, history in zip(values, runs, strict=True):
        for epoch, entry in enumerate(history):
            row[epoch] = entry.get(measure, np.nan)
    return values


def _mark_stages(panel: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    """Draws a line where a stage begins, with its name above, clear of the curves."""
    stages = [str(entry.get("stage", "")) for entry in history]
    starts = [epoch for epoch in range(1, len(stages)) if stages[epoch] != stages[epoch - 1]]
    for position, epoch in enumerate(starts):
        panel.axvline(epoch + 0.5, color=SOFT, linestyle="--", linewidth=1)
        height = 1.01 + 0.07 * (position % 2)  # so that names of short stages do not collide
        across = panel.get_xaxis_transform()
        panel.text(epoch + 0.6, height, stages[epoch], transform=across, fontsize=8, color=INK)
