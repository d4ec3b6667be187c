"""How figures look: colours that colour-blind readers can tell apart, sizes, plain axes."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, jfly.uni-koeln.de/color: blue, vermilion, green, orange, purple, sky.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")
INK, SOFT = "#1d2330", "#6b7484"


def new_figure(title: str, panels: int, *, height: float) -> tuple["Figure", list["Axes"]]:
    """Makes a figure with two panels to a row, without touching matplotlib's global state.

    It is 9 inches wide; `height` is that of a row of panels, in inches.
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


def to_png(figure: "Figure") -> bytes:
    """Renders a figure as a PNG file and returns the bytes of it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
