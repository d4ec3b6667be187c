"""Progress of long work, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mite_tf.errors import printable

CONSOLE = Console(stderr=True, highlight=False, markup=False, emoji=False)


def plain(text: object, style: str = "") -> Text:
    r"""Returns a text that Rich shows as it stands: no markup, no control characters.

    Example:
        >>> plain("[red]a\x07").plain
        '[red]a\\x07'
    """
    return Text(printable(text, keep="\n"), style)


def say(text: object, style: str = "") -> None:
    """Prints a line on standard error, as it stands and without line breaks of its own."""
    CONSOLE.print(plain(text, style), soft_wrap=True)


class Report(Protocol):
    """Called with the amount of work done and of all work."""

    def __call__(self, done: int, total: int) -> None: ...


@contextmanager
def progress(description: str, unit: str = "", *, quiet: bool = False) -> Iterator[Report]:
    """Shows a bar with speed and remaining time while the block runs.

    On a terminal the bar is redrawn in place and removed at the end. Elsewhere, in a log file,
    it prints nothing.

    Args:
        description: What is going on.
        unit: What is counted, for the speed.
        quiet: Shows nothing at all.

    Example:
        >>> with progress("Embedding", "images", quiet=True) as report:
        ...     report(1, 2)
    """
    with bar(unit, quiet=quiet) as display:
        task = display.add_task(description, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


def bar(unit: str = "", *, quiet: bool = False) -> Progress:
    """Returns the bar that all long work shares: description, speed, remaining time."""
    return Progress(
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Speed(unit),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
        disable=quiet or not CONSOLE.is_terminal,
    )


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s", style="cyan")
