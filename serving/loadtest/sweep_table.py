"""A sweep as a table."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.serving.loadtest.batching_file import batching_text
from mite_tf.serving.loadtest.sweep import Sweep
from mite_tf.serving.loadtest.table import count_of, milliseconds


def print_sweep(sweep: Sweep, *, console: Console | None = None) -> None:
    """Prints a row for each number of clients, and the proposal with its reasons.

    Args:
        sweep: What was measured.
        console: Where to print; standard output if left out.
    """
    console = console or Console(highlight=False)
    table = Table(box=SIMPLE)
    for name in ("clients", "requests/s", "p50 ms", "p95 ms", "p99 ms", "rows/batch", "errors, %"):
        table.add_column(name, justify="right")
    for each in sweep.results:
        sizes = each.batch_sizes
        table.add_row(
            str(each.clients),
            f"{each.throughput:,.1f}",
            *(milliseconds(getattr(each.latency, name)) for name in ("p50", "p95", "p99")),
            f"{sizes.mean:.1f}" if sizes and sizes.batches else "–",
            f"{each.error_rate * 100:.2f}",
        )
    console.print(table)
    if any(each.client_limited for each in sweep.results):
        console.print(
            "Client processes were busy nearly all the time with "
            + ", ".join(str(each.clients) for each in sweep.results if each.client_limited)
            + " clients: there the client is likely the limit.",
            soft_wrap=True,
        )
    if sweep.interrupted:
        console.print("Stopped early; these are the numbers until then.")
    if (found := sweep.proposal) is None:
        return
    if not found.reached:
        console.print(f"No load stayed within {found.target:g} ms; the lightest one counts.")
    console.print(
        f"Best at {count_of(found.clients, 'client')}: {found.throughput:,.0f} requests/s, "
        f"p99 {milliseconds(found.p99)} ms."
    )
    for reason in found.reasons:
        console.print(f"  {reason}", soft_wrap=True)
    console.print(f"\n{batching_text(found.batching)}", end="")
