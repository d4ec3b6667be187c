"""How figures look: colours that colour-blind readers can tell apart, sizes, plain axes."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, jfly.uni-koeln.de/color: blue, vermilion, green, orange, purple, sky.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")
INK, SOFT = "#1d2330", "#6b7484"


def new_figure(title: str, panels: int, *, height: float) -> tuple["Figure", list["Axes"]]:
    """Makes a figure without touching matplotlib's global state.

    Args:
        title: A sentence that says what the figure shows.
        panels: Number of panels, two to a row.
        height: Height of a row of panels in inches; the figure is 9 wide.
    """
    from matplotlib.figure import Figure

    columns, rows = min(2, panels), (panels + 1) // 2
    figure = Figure((9.0, 0.5 + height * rows), dpi=144, layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left")
    axes = [figure.add_subplot(rows, columns, position + 1) for position in range(panels)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(SOFT)
        axis.tick_params(colors=INK, labelsize=9)
    return figure, axes


def legend_below(figure: "Figure", panel: "Axes") -> None:
    """Puts one legend under all panels of a figure, with the labels of one of them."""
    labels = panel.get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def mark_stages(panel: "Axes", stages: Sequence[str], *, first: bool, named: bool = True) -> None:
    """Draws a dashed line where a stage begins, with its name above, clear of the curves.

    Args:
        panel: A panel over epochs, the first one at 1.
        stages: Name of the stage of each epoch; empty where there is none.
        first: Whether to name the first stage too, which has no line.
        named: Whether to write names at all.
    """
    starts = [e for e, stage in enumerate(stages) if stage and (e == 0 or stage != stages[e - 1])]
    for position, epoch in enumerate(starts if first else [e for e in starts if e > 0]):
        if epoch > 0:
            panel.axvline(epoch + 0.5, color=SOFT, linestyle="--", linewidth=1)
        if named:
            height = 1.01 + 0.07 * (position % 2)  # so that names of short stages do not collide
            across = panel.get_xaxis_transform()
            panel.text(epoch + 0.6, height, stages[epoch], transform=across, fontsize=8, color=INK)


def to_png(figure: "Figure") -> bytes:
    """Renders a figure as a PNG file and returns the bytes of it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
