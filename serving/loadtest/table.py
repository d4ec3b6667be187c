"""A load test as a table."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mite_tf.serving.loadtest.latencies import Latencies
from mite_tf.serving.loadtest.result import LoadTestResult


def print_result(result: LoadTestResult, *, console: Console | None = None) -> None:
    """Prints a load test as a table, and below it what to mind.

    Args:
        result: What was measured.
        console: Where to print; standard output if left out.
    """
    console = console or Console(highlight=False)
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, text in _rows(result):
        table.add_row(name, escape(text))
    console.print(table)
    for remark in remarks(result):
        console.print(escape(remark), soft_wrap=True)


def remarks(result: LoadTestResult) -> list[str]:
    """Returns what a reader of the numbers must know, a sentence each."""
    found = []
    if result.interrupted:
        found.append(f"Stopped after {result.seconds:.1f} s; these are the numbers until then.")
    stuck = int((result.samples.ended >= result.seconds).sum())
    if not result.requests and stuck:
        longest = (result.samples.ended - result.samples.sent).max()
        found.append(
            f"{stuck:,} requests of the warm-up waited through all of it, up to {longest:.1f} s: "
            "no client could send another. The server hangs, or takes longer than this lasted."
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
    found += [f"{code}: {message}" for code, message in result.messages.items()]
    return found


def latency_text(found: Latencies) -> str:
    """Returns percentiles as one line.

    Example:
    >>> latency_text(Latencies(mean=2.0, p50=1.5, p95=3.0, p99=12.25, max=250.0))
    'p50 1.50, p95 3.00, p99 12.2, max 250 ms'
    """
    parts = ((name, getattr(found, name)) for name in ("p50", "p95", "p99", "max"))
    return ", ".join(f"{name} {milliseconds(value)}" for name, value in parts) + " ms"


def milliseconds(value: float) -> str:
    """Returns a duration with three digits.

    Example:
    >>> milliseconds(0.1234), milliseconds(12.34), milliseconds(1234.0), milliseconds(float("nan"))
    ('0.12', '12.3', '1234', '–')
    """
    if value != value:
        return "–"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _rows(result: LoadTestResult) -> list[tuple[str, str]]:
    version = "" if result.version is None else f", version {result.version}"
    sending = (
        f"{result.rate:,.6g} requests/s, at most {result.clients} at once"
        if result.rate
        else f"{result.clients} clients"
    )
    rows = [
        ("server", f"{result.target}, {result.model} / {result.signature}{version}"),
        ("load", f"{sending}, {count_of(result.batch, 'row')} a request, {result.seconds:.1f} s"),
        ("requests", f"{result.requests:,}, {result.answered:,} answered"),
        ("errors", _errors(result)),
        (
            "throughput",
            f"{result.throughput:,.1f} requests/s, {result.rows_per_second:,.1f} rows/s",
        ),
        ("latency", latency_text(result.latency)),
    ]
    if result.rate:
        rows.append(("from sending", latency_text(result.latency_from_sending)))
    rows.append(("sent, received", f"{_bytes(result.bytes_sent)}, {_bytes(result.bytes_received)}"))
    rows.append(("batches", _batches(result)))
    processes = count_of(result.processes, "process", "es")
    cores = f"{processes}, {result.client_cores:.2f} cores, busiest {result.client_busy:.0%} busy"
    return [*rows, ("client", cores)]


def _errors(result: LoadTestResult) -> str:
    if not result.errors:
        return "none"
    listed = ", ".join(f"{code} {count:,}" for code, count in result.errors.items())
    return f"{result.error_rate:.2%}: {listed}"


def _batches(result: LoadTestResult) -> str:
    found = result.batch_sizes
    if found is None:
        return "the server's metrics do not tell"
    sizes = ", ".join(f"{name}: {count:,}" for name, count in found.histogram.items())
    return f"{found.batches:,} of {found.mean:.1f} rows on average ({sizes})"


def count_of(number: int, unit: str, plural: str = "s") -> str:
    """Returns a number with its unit.

    Example:
    >>> count_of(1, "row"), count_of(1200, "process", "es")
    ('1 row', '1,200 processes')
    """
    return f"{number:,} {unit}{'' if number == 1 else plural}"


def _bytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB" if number >= 1e6 else f"{number / 1e3:,.1f} kB"
