"""Which kinds of near misses models fall for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mite_tf.reports.figures import COLOURS, INK, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_near_misses(confusions: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draws for each kind of near miss how often models prefer it to the right scene.

    Args:
        confusions: By model name and kind: percentage of comparisons that went wrong. All
            models have the same kinds, at least one.

    Returns:
        The figure.

    Example:
        >>> figure = plot_near_misses({"MITE": {"colour": 12.0, "count": 48.0}})
        >>> figure.get_suptitle()
        'Near misses in count are the hardest to tell from the right scene.'
    """
    kinds = list(next(iter(confusions.values())))
    values = np.array([[by_kind[kind] for kind in kinds] for by_kind in confusions.values()])
    hardest = kinds[int(values.mean(axis=0).argmax())]
    title = f"Near misses in {hardest} are the hardest to tell from the right scene."
    figure, [panel] = new_figure(title, 1, height=3.5)
    width = 0.8 / len(confusions)
    for position, (name, heights) in enumerate(zip(confusions, values, strict=True)):
        x = np.arange(len(kinds)) + (position - (len(confusions) - 1) / 2) * width
        colour = COLOURS[position % len(COLOURS)]
        bars = panel.bar(x, heights, 0.92 * width, color=colour, label=name)
        if len(confusions) < 4:
            panel.bar_label(bars, fmt="%.0f", fontsize=8, padding=1, color=INK)
    panel.axhline(50, color=INK, linestyle=":", linewidth=1.2, label="chance")
    panel.set_xticks(range(len(kinds)), kinds)
    panel.set_ylabel("near miss preferred (%)")
    legend_below(figure, panel)
    return figure
