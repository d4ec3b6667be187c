"""Load tests and sweeps as tables."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.progress import plain
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.loadtest.sweep import Sweep, batching_text


# no example: it takes a server.
def print_result(result: LoadTestResult, *, console: Console | None = None) -> None:
    """Prints a load test as a table, and below it what to mind."""
    console = console or Console(highlight=False)
    version = "" if result.version is None else f", version {result.version}"
    sending = f"{result.clients:,} clients"
    if result.rate:
        sending = f"{result.rate:,.6g} requests/s, at most {result.clients:,} at once"
    errors = ", ".join(f"{code} {count:,}" for code, count in result.errors.items())
    rows = {
        "server": f"{result.target}, {result.model} / {result.signature}{version}",
        "load": f"{sending}, rows a request: {result.batch}, {result.seconds:.1f} s",
        "requests": f"{result.requests:,}, {result.answered:,} answered",
        "errors": f"{result.error_rate:.2%}: {errors}" if errors else "none",
        "throughput": f"{result.throughput:,.1f} requests/s, {result.rows_per_second:,.1f} rows/s",
        "latency": _percentiles(result.latency),
    }
    if result.rate:
        rows["from sending"] = _percentiles(result.latency_from_sending)
    rows["client"] = f"processes: {result.processes}, busiest {result.client_busy:.0%} busy"
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold")
    for name, text in rows.items():
        table.add_row(name, plain(text))
    console.print(table)
    for remark in _remarks(result):
        console.print(plain(remark), soft_wrap=True)


# no example: it takes a server.
def print_sweep(sweep: Sweep, *, console: Console | None = None) -> None:
    """Prints a row for each number of clients, and the proposal with its reasons."""
    console = console or Console(highlight=False)
    table = Table(box=SIMPLE)
    for name in ("clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors, %"):
        table.add_column(name, justify="right")
    for each in sweep.results:
        table.add_row(
            str(each.clients),
            f"{each.throughput:,.1f}",
            *(milliseconds(each.latency.get(name)) for name in ("p50", "p95", "p99")),
            f"{each.error_rate * 100:.2f}",
        )
    console.print(table)
    if limited := [str(each.clients) for each in sweep.results if each.client_limited]:
        console.print(
            f"With {', '.join(limited)} clients their processes were busy nearly all the time, so "
            "they are likely the limit there.",
            soft_wrap=True,
        )
    if sweep.interrupted:
        console.print("Stopped early; these are the numbers until then.")
    if (found := sweep.proposal) is None:
        return
    if not found.reached:
        console.print(f"No load stayed within {found.target:g} ms; the lightest one counts.")
    console.print(
        f"Best with clients: {found.clients}, requests/s: {found.throughput:,.0f}, "
        f"p99: {milliseconds(found.p99)} ms."
    )
    for reason in found.reasons:
        console.print(plain(f"  {reason}"), soft_wrap=True)
    console.print(f"\n{batching_text(found.batching)}", end="")


def milliseconds(value: float | None) -> str:
    """Returns a duration with three digits.

    Example:
        >>> milliseconds(0.1234), milliseconds(12.34), milliseconds(1234.0), milliseconds(None)
        ('0.12', '12.3', '1234', '–')
    """
    if value is None:
        return "–"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _percentiles(latency: dict[str, float]) -> str:
    names = ("p50", "p95", "p99", "max")
    return ", ".join(f"{name} {milliseconds(latency.get(name))}" for name in names) + " ms"


def _remarks(result: LoadTestResult) -> list[str]:
    found = [f"{code}: {message}" for code, message in result.messages.items()]
    if result.interrupted:
        found.append(f"Stopped after {result.seconds:.1f} s; these are the numbers until then.")
    elif not result.requests:
        found.append(
            "No request fell due: those of the warm-up still waited for their answers. The server "
            "hangs, or takes longer than this lasted."
        )
    if result.client_limited:
        found.append(
            f"A client process was busy {result.client_busy:.0%} of the time, so the client is "
            "likely the limit. Use more processes, or another machine for the clients."
        )
    if result.not_sent:
        found.append(
            f"{result.not_sent:,} requests fell due and were never sent: the server takes less "
            "than this rate, or needs more clients. Latencies are lower bounds."
        )
    return found
