"""Throughput against latency, over the number of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mite_tf.errors import MiteError
from mite_tf.reports.figures import COLOURS, INK, SOFT, new_figure
from mite_tf.serving.loadtest.sweep import Sweep
from mite_tf.serving.loadtest.table import count_of, milliseconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_sweep(sweep: Sweep) -> Figure:
    """Draws throughput against p99, a point for each number of clients, and throughput over these.

    Args:
        sweep: What was measured.

    Returns:
        The figure.

    Raises:
        MiteError: If nothing was answered.
    """
    results = [each for each in sweep.results if each.answered]
    if not results or sweep.proposal is None:
        raise MiteError("There is nothing to draw: no request was answered.")
    best = sweep.proposal
    title = (
        f"The server is used best by {count_of(best.clients, 'client')}: "
        f"{best.throughput:,.0f} requests a second, p99 {milliseconds(best.p99)} ms."
    )
    figure, (left, right) = new_figure(title, 2, height=3.4)
    throughput = [each.throughput for each in results]
    p99 = [each.latency.p99 for each in results]
    clients = [each.clients for each in results]
    left.plot(throughput, p99, color=COLOURS[0], marker="o", markersize=4)
    for x, y, number in zip(throughput, p99, clients, strict=True):
        left.annotate(
            f"{number}", (x, y), (5, -9), textcoords="offset points", fontsize=8, color=INK
        )
    left.axhline(best.target, color=SOFT, linestyle="--", linewidth=1)
    left.text(0.02, best.target, "target", fontsize=8, color=SOFT, va="bottom",
              transform=left.get_yaxis_transform())  # fmt: skip
    left.set_xlabel("requests a second", fontsize=9)
    left.set_ylabel("p99 (ms)", fontsize=9)
    left.set_xlim(left=0)
    left.set_ylim(bottom=0)
    right.plot(clients, throughput, color=COLOURS[0], marker="o", markersize=4)
    right.set_xscale("log", base=2)
    right.set_xticks(clients, [str(number) for number in clients])
    right.set_xlabel("clients", fontsize=9)
    right.set_ylabel("requests a second", fontsize=9)
    right.set_ylim(bottom=0)
    for axis, place in (
        (left, (best.throughput, best.p99)),
        (right, (best.clients, best.throughput)),
    ):
        axis.plot(*place, marker="o", markersize=10, markerfacecolor="none", color=COLOURS[1])
    return figure
