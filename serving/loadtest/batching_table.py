"""A sweep over batching parameters as a table."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.serving.loadtest.batching_file import batching_text, small_batch_remark
from mite_tf.serving.loadtest.batching_sweep import BatchingSweep
from mite_tf.serving.loadtest.table import milliseconds


def print_batching_sweep(sweep: BatchingSweep, *, console: Console | None = None) -> None:
    """Prints a row for each setting, and the file of the best one.

    Args:
        sweep: What was measured.
        console: Where to print; standard output if left out.
    """
    console = console or Console(highlight=False)
    table = Table(box=SIMPLE, title=f"{sweep.clients} clients, medians of {sweep.rounds} rounds")
    for name in ("max\nbatch", "timeout\nµs", "threads", "requests\n/s", "p50\nms", "p99\nms",
                 "rows\n/batch", "errors\n%"):  # fmt: skip
        table.add_column(name, justify="right")
    for each in sweep.trials:
        table.add_row(
            str(each.batching.max_batch_size),
            str(each.batching.batch_timeout_micros),
            str(each.batching.num_batch_threads),
            f"{each.throughput:,.1f}",
            milliseconds(each.p50),
            milliseconds(each.p99),
            "–" if each.rows_per_batch is None else f"{each.rows_per_batch:.1f}",
            f"{each.error_rate * 100:.2f}",
            style="bold" if each is sweep.best else None,
        )
    console.print(table)
    if sweep.interrupted:
        console.print("Stopped early; these are the settings measured until then.")
    if sweep.p99 is not None and sweep.best.p99 > sweep.p99:
        console.print(f"No setting stayed within {sweep.p99:g} ms; the fastest one is printed.")
    if remark := small_batch_remark(sweep.best.batching):
        console.print(remark, soft_wrap=True)
    console.print(batching_text(sweep.best.batching), end="")
