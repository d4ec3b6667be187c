"""Load tests and sweeps as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.reports.figures import COLOURS, INK, SOFT, new_figure
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.loadtest.sweep import Sweep
from mite_tf.serving.loadtest.table import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLOTS = 60  # at most so many points of throughput


# no example: it takes a server.
def plot_result(result: LoadTestResult) -> Figure:
    """Draws throughput over time and how latencies are distributed."""
    if not result.answered:
        raise MiteError("There is nothing to draw: no request was answered.")
    sending = f"{result.rate:,.4g} requests/s" if result.rate else f"{result.clients} clients"
    title = (
        f"{result.model} with {sending}: {result.throughput:,.0f} answers a second, "
        f"p99 {milliseconds(result.latency['p99'])} ms."
    )
    figure, (left, right) = new_figure(title, 2, height=3.2)
    _draw_throughput(left, result)
    _draw_latencies(right, result)
    return figure


# no example: it takes a server.
def plot_sweep(sweep: Sweep) -> Figure:
    """Draws throughput against p99, a point for each number of clients, and over their number."""
    results = [each for each in sweep.results if each.answered]
    if not results or (best := sweep.proposal) is None:
        raise MiteError("There is nothing to draw: no request was answered.")
    title = (
        f"The server is used best by {best.clients} client{'s' * (best.clients > 1)}: "
        f"{best.throughput:,.0f} requests a second, p99 {milliseconds(best.p99)} ms."
    )
    figure, (left, right) = new_figure(title, 2, height=3.4)
    throughput = [each.throughput for each in results]
    p99 = [each.latency["p99"] for each in results]
    clients = [each.clients for each in results]
    left.plot(throughput, p99, color=COLOURS[0], marker="o", markersize=4)
    for x, y, number in zip(throughput, p99, clients, strict=True):
        left.annotate(str(number), (x, y), (5, -9), textcoords="offset points", fontsize=8)
    left.axhline(best.target, color=SOFT, linestyle="--", linewidth=1)
    left.annotate("target", (0, best.target), (3, 3), textcoords="offset points", fontsize=8)
    left.set(xlabel="requests a second", ylabel="p99 (ms)", xlim=(0, None))
    right.plot(clients, throughput, color=COLOURS[0], marker="o", markersize=4)
    right.set_xscale("log", base=2)
    right.set_xticks(clients, [str(number) for number in clients])
    right.set(xlabel="clients", ylabel="requests a second")
    marked = (left, best.throughput, best.p99), (right, best.clients, best.throughput)
    for axis, x, y in marked:
        axis.set_ylim(bottom=0)
        axis.plot(x, y, marker="o", markersize=10, markerfacecolor="none", color=COLOURS[1])
    return figure


def _draw_throughput(axis: Axes, result: LoadTestResult) -> None:
    edges = np.linspace(0.0, result.seconds, max(1, min(_SLOTS, round(result.seconds))) + 1)
    good = result.samples["code"] == 0
    for mask, colour, name in ((good, COLOURS[0], "answers"), (~good, COLOURS[1], "errors")):
        rates = np.histogram(result.samples["ended"][mask], edges)[0] / (edges[1] - edges[0])
        if rates.any() or name == "answers":
            axis.stairs(rates, edges, baseline=None, color=colour, linewidth=1.6, label=name)
    if result.rate:
        axis.axhline(result.rate, color=SOFT, linestyle="--", linewidth=1, label="due")
    axis.legend(frameon=False, fontsize=8)
    axis.set(xlabel="seconds", ylabel="requests a second", xlim=(0, result.seconds), ylim=(0, None))


def _draw_latencies(axis: Axes, result: LoadTestResult) -> None:
    samples = result.samples
    inside = (samples["due"] >= 0) & (samples["due"] < result.seconds) & (samples["code"] == 0)
    good = samples[inside]
    curves = {"from when due": good["due"], "from sending": good["sent"]}
    if not result.rate:
        del curves["from when due"]
    times = {name: (good["ended"] - began) * 1e3 for name, began in curves.items()}
    low, high = (reduce(list(times.values())) for reduce in (np.min, np.max))
    # A histogram on a logarithmic axis: tails are as wide as the middle.
    edges = np.geomspace(max(1e-3, low) * 0.95, high * 1.05, 48)
    for colour, (name, values) in zip(COLOURS, times.items(), strict=False):
        share = np.histogram(values, edges)[0] / len(values) * 100
        axis.stairs(share, edges, color=colour, fill=True, alpha=0.4, label=name)
    for place, name in enumerate(("p50", "p95", "p99")):
        value = result.latency[name]
        axis.axvline(value, color=INK, linestyle=":", linewidth=1)
        axis.text(value, 0.99 - 0.08 * place, f" {name} {milliseconds(value)}", fontsize=8,
                  va="top", transform=axis.get_xaxis_transform())  # fmt: skip
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    # Of 20, 30, … 90 only 20 and 50 have room.
    axis.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")
    axis.tick_params(axis="x", which="minor", labelsize=7)
    axis.set(xlabel="milliseconds until the answer", ylabel="answers (%)")
