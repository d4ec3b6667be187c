"""What trainings went through, epoch by epoch: one of them, or the runs of several variants."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.reports.figures import COLOURS, INK, SOFT, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Panel(NamedTuple):
    label: str
    curves: dict[str, str]
    chance: float | None = None


_PANELS = (
    _Panel("loss", {"matching_loss": "matching", "adversarial_loss": "adversarial"}),
    _Panel("recall sum (0 to 600)", {"rsum": "recall sum", "chance_rsum": "chance"}),
    _Panel(
        "modality accuracy (share)",
        {"discriminator_accuracy": "discriminator", "probe_accuracy": "fresh probe"},
        chance=0.5,
    ),
    _Panel("centroid gap", {"centroid_gap": "centroid gap"}),
    _Panel("active hinges (share)", {"active_hinges": "active hinges"}),
)
_COURSES = {
    "rsum": "recall sum (0 to 600)",
    "probe_accuracy": "probe accuracy (share)",
    "centroid_gap": "centroid gap",
}


def plot_history(history: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws the curves of a training, with lines where a stage begins.

    Args:
        history: One row for each epoch, in order, as numbers or as the texts of a CSV file.
            Drawn are `matching_loss`, `adversarial_loss`, `discriminator_accuracy`,
            `probe_accuracy`, `active_hinges`, `rsum`, `chance_rsum` and `centroid_gap`, as far as
            they are there; `stage` gives the names of stages. Missing and empty values are left
            out.

    Raises:
        MiteError: If no row has any of these values.

    Example:
        >>> rows = [{"stage": "align", "rsum": 200.0}, {"stage": "adversarial", "rsum": "210"}]
        >>> [panel] = plot_history(rows).axes
        >>> panel.get_ylabel()
        'recall sum (0 to 600)'
    """
    series = {key: _values(history, key) for panel in _PANELS for key in panel.curves}
    there = [
        panel for panel in _PANELS if any(np.isfinite(series[key]).any() for key in panel.curves)
    ]
    if not there:
        raise MiteError(f"The history has none of the columns {', '.join(series)} to draw.")
    title = f"Training took {len(history)} epochs"
    if any(row.get("stage") for row in history):
        title += "; dashed lines mark where a stage begins"
    figure, axes = new_figure(f"{title}.", len(there), height=2.5)
    for position, (axis, panel) in enumerate(zip(axes, there, strict=True)):
        for colour, marker, (key, label) in zip(COLOURS, "o^", panel.curves.items(), strict=False):
            x = np.flatnonzero(np.isfinite(series[key]))
            if len(x):
                y = series[key][x]
                axis.plot(x + 1, y, color=colour, marker=marker, markersize=3.5, label=label)
        if panel.chance is not None:
            axis.axhline(panel.chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
        if len(panel.curves) > 1:
            axis.legend(frameon=False, fontsize=8)
        axis.set_ylabel(panel.label, fontsize=9)
        _mark_stages(axis, history, first=True, named=position < 2)
        axis.set_xlim(0.5, len(history) + 0.5)
        axis.set_xlabel("epoch over all stages", fontsize=9)
        axis.locator_params(axis="x", integer=True)
    return figure


def plot_courses(histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> "Figure":
    """Draws recall sum, probe accuracy and centroid gap over the epochs.

    It takes the histories of each variant's runs, as for `plot_history`. Lines are means over
    seeds, bands hold all of them; dashed lines mark where a stage of the first variant begins.

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
        _mark_stages(panel, next(iter(histories.values()))[0], first=False)
        panel.set_ylabel(_COURSES[measure])
        panel.set_xlabel("epoch over all stages", fontsize=9)
        panel.locator_params(axis="x", integer=True)
    legend_below(figure, panels[0])
    return figure


def _values(history: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    cells = (row.get(key) for row in history)
    return np.array([np.nan if cell in (None, "") else float(cell) for cell in cells])


def _over_epochs(runs: Sequence[Sequence[Mapping[str, Any]]], measure: str) -> NDArray[np.float64]:
    """Returns values of shape `[runs, epochs]`; NaN where a run has none."""
    values = np.full((len(runs), max(map(len, runs), default=0)), np.nan)
    for row, history in zip(values, runs, strict=True):
        row[: len(history)] = _values(history, measure)
    return values


def _mark_stages(
    panel: "Axes", history: Sequence[Mapping[str, Any]], *, first: bool, named: bool = True
) -> None:
    """Draws a dashed line where a stage begins, with its name above; the first has no line."""
    stages = [str(row.get("stage") or "") for row in history]
    starts = [e for e, stage in enumerate(stages) if stage and (e == 0 or stage != stages[e - 1])]
    for position, epoch in enumerate(starts if first else [e for e in starts if e > 0]):
        if epoch > 0:
            panel.axvline(epoch + 0.5, color=SOFT, linestyle="--", linewidth=1)
        if named:
            height = 1.01 + 0.07 * (position % 2)  # so that names of short stages do not collide
            across = panel.get_xaxis_transform()
            panel.text(epoch + 0.6, height, stages[epoch], transform=across, fontsize=8, color=INK)
