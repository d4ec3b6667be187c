"""What a training went through, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.reports.figures import COLOURS, INK, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Panel(NamedTuple):
    label: str
    curves: dict[str, str]
    chance: float | None = None


_PANELS = (
    _Panel("loss", {"matching_loss": "triplet", "adversarial_loss": "adversarial"}),
    _Panel("recall sum (0 to 600)", {"rsum": "recall sum"}),
    _Panel(
        "modality accuracy (share)",
        {"discriminator_accuracy": "discriminator", "probe_accuracy": "fresh probe"},
        chance=0.5,
    ),
    _Panel("centroid gap", {"centroid_gap": "centroid gap"}),
    _Panel("active hinges (share)", {"active_hinges": "active hinges"}),
)


def plot_history(history: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draws the curves of a training, with lines where a stage begins.

    Args:
        history: One row for each epoch, in order, as numbers or as the texts of a CSV file.
            Drawn are `matching_loss`, `adversarial_loss`, `discriminator_accuracy`,
            `probe_accuracy`, `active_hinges`, `rsum` and `centroid_gap`, as far as they are
            there; `stage` gives the names of stages. Missing and empty values are left out.

    Returns:
        The figure: one panel for each kind of quantity, over the epochs of all stages.

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
        _draw(axis, panel, series)
        _mark_stages(axis, history, named=position < 2)
        axis.set_xlim(0.5, len(history) + 0.5)
        axis.set_xlabel("epoch over all stages", fontsize=9)
        axis.locator_params(axis="x", integer=True)
    return figure


def _values(history: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    cells = (row.get(key) for row in history)
    return np.array([np.nan if cell in (None, "") else float(cell) for cell in cells])


def _draw(axis: "Axes", panel: _Panel, series: Mapping[str, NDArray[np.float64]]) -> None:
    for colour, marker, (key, label) in zip(COLOURS, "o^", panel.curves.items(), strict=False):
        there = np.flatnonzero(np.isfinite(series[key]))
        if len(there):
            values = series[key][there]
            axis.plot(there + 1, values, color=colour, marker=marker, markersize=3.5, label=label)
    if panel.chance is not None:
        axis.axhline(panel.chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
    if len(panel.curves) > 1:
        axis.legend(frameon=False, fontsize=8)
    axis.set_ylabel(panel.label, fontsize=9)


def _mark_stages(axis: "Axes", history: Sequence[Mapping[str, Any]], *, named: bool) -> None:
    stages = [row.get("stage") for row in history]
    starts = [e for e, stage in enumerate(stages) if stage and (e == 0 or stage != stages[e - 1])]
    for position, epoch in enumerate(starts):
        if epoch > 0:
            axis.axvline(epoch + 0.5, color=SOFT, linestyle="--", linewidth=1)
        if named:
            height = 1.01 + 0.07 * (position % 2)  # so that names of short stages do not collide
            place, transform = (epoch + 0.6, height), axis.get_xaxis_transform()
            axis.text(*place, str(stages[epoch]), transform=transform, fontsize=8, color=INK)
