"""A load test as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.files import written_beside
from mite_tf.reports.figures import COLOURS, INK, SOFT, new_figure, to_png
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.loadtest.table import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLOTS = 60  # at most so many points of throughput


def plot_result(result: LoadTestResult) -> Figure:
    """Draws throughput over time and how latencies are distributed.

    Args:
        result: What was measured.

    Returns:
        The figure.

    Raises:
        MiteError: If nothing was answered.
    """
    if not result.answered:
        raise MiteError("There is nothing to draw: no request was answered.")
    sending = f"{result.rate:,.4g} requests/s" if result.rate else f"{result.clients} clients"
    title = (
        f"{result.model} with {sending}: {result.throughput:,.0f} answers a second, "
        f"p99 {milliseconds(result.latency.p99)} ms."
    )
    figure, (left, right) = new_figure(title, 2, height=3.2)
    _draw_throughput(left, result)
    _draw_latencies(right, result)
    return figure


def write_figure(path: str | Path, figure: Figure) -> None:
    """Writes a figure as a PNG file."""
    with written_beside(path, "wb") as file:
        file.write(to_png(figure))


def _draw_throughput(axis: Axes, result: LoadTestResult) -> None:
    samples, seconds = result.samples, result.seconds
    slots = max(1, min(_SLOTS, round(seconds)))
    edges = np.linspace(0.0, seconds, slots + 1)
    width = seconds / slots
    good = samples.code == 0
    for mask, colour, name in ((good, COLOURS[0], "answers"), (~good, COLOURS[1], "errors")):
        counts, _ = np.histogram(samples.ended[mask], edges)
        if counts.any() or name == "answers":
            axis.stairs(
                counts / width, edges, baseline=None, color=colour, linewidth=1.6, label=name
            )
    if result.rate:
        axis.axhline(result.rate, color=SOFT, linestyle="--", linewidth=1, label="due")
    if len(axis.get_legend_handles_labels()[1]) > 1:
        axis.legend(frameon=False, fontsize=8)
    axis.set_xlim(0, seconds)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("seconds", fontsize=9)
    axis.set_ylabel("requests a second", fontsize=9)


def _draw_latencies(axis: Axes, result: LoadTestResult) -> None:
    inside = (result.samples.due >= 0) & (result.samples.due < result.seconds)
    good = result.samples.where(inside & (result.samples.code == 0))
    curves = {"latency": (good.ended - good.due) * 1e3}
    if result.rate:
        curves = {
            "from when due": curves["latency"],
            "from sending": (good.ended - good.sent) * 1e3,
        }
    low = max(1e-3, min(values.min() for values in curves.values()))
    high = max(values.max() for values in curves.values())
    # A histogram on a logarithmic axis: tails are as wide as the middle.
    edges = np.geomspace(low * 0.95, high * 1.05, 48)
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        share = np.histogram(values, edges)[0] / len(values) * 100
        axis.stairs(share, edges, color=colour, fill=True, alpha=0.25)
        axis.stairs(share, edges, color=colour, linewidth=1.4, label=name)
    top = axis.get_ylim()[1]
    for place, name in enumerate(("p50", "p95", "p99")):
        value = getattr(result.latency, name)
        axis.axvline(value, color=INK, linestyle=":", linewidth=1)
        text = f" {name} {milliseconds(value)}"
        axis.text(value, top * (1 - 0.08 * place), text, fontsize=8, color=INK, va="top")
    if len(curves) > 1:
        axis.legend(frameon=False, fontsize=8, loc="center right")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if _leads(value) else "")
    axis.tick_params(axis="x", which="minor", labelsize=8, colors=INK)
    axis.set_ylim(0, top)
    axis.set_xlabel("milliseconds until the answer", fontsize=9)
    axis.set_ylabel("answers (%)", fontsize=9)


def _leads(value: float) -> bool:
    return round(value / 10 ** np.floor(np.log10(value))) in (2, 5)
