"""The report of a study as tables and figures: a page, a document, a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mite_tf.files import write_text, written_beside
from mite_tf.reports.pages import PageFigure, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class StudyTable(NamedTuple):
    """A table of texts: what it shows, how to read it, its columns and rows.

    The last column is named `command` and holds one.
    """

    heading: str
    note: str
    header: list[str]
    rows: list[list[str]]

    def print(self, *, console: Console | None = None) -> None:
        """Prints the table without its commands, to standard output unless told otherwise."""
        grid = Table(box=SIMPLE)
        for position, name in enumerate(self.header[:-1]):
            first = position == 0
            grid.add_column(Text(name), justify="left" if first else "right", no_wrap=first)
        for row in self.rows:
            grid.add_row(*map(Text, row[:-1]))
        (console or Console()).print(grid)

    def to_markdown(self) -> str:
        """Returns heading, note and table in Markdown.

        Example:
            >>> table = StudyTable("Runs", "Two.", ["run", "command"], [["a", "mite demo"]])
            >>> print(table.to_markdown())
            ## Runs
            <BLANKLINE>
            Two.
            <BLANKLINE>
            | run | command |
            | --- | --- |
            | a | `mite demo` |
            <BLANKLINE>
        """
        rows = [[*row[:-1], f"`{row[-1]}`" if row[-1] else ""] for row in self.rows]
        lines = [self.header, ["---"] * len(self.header), *rows]
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in escaped)
        return f"## {self.heading}\n\n{self.note}\n\n{table}\n"


def write_study_page(
    folder: Path,
    *,
    title: str,
    details: Mapping[str, str],
    how: str,
    tables: Sequence[StudyTable],
    figures: Mapping[str, "Figure"],
) -> None:
    """Writes `study.html`, `study.md` and, for the latter, its figures in `plots/`.

    Both state the details at the top, then how measures were taken; figures come by heading.
    """
    drawn = [PageFigure.of(heading, figure) for heading, figure in figures.items()]
    page = {"title": title, "details": details, "how": how, "tables": tables, "figures": drawn}
    write_page(folder / "study.html", "study.html", **page)
    parts = [f"# {title}\n", "".join(f"- {name}: {value}\n" for name, value in details.items())]
    parts += [f"{how}\n", *(table.to_markdown() for table in tables)]
    for each in drawn:
        plot = f"plots/{each.heading.lower().replace(' ', '-')}.png"
        with written_beside(folder / plot, "wb") as file:
            file.write(each.png)
        parts.append(f"## {each.heading}\n\n![{each.text}]({plot})\n")
    write_text(folder / "study.md", "\n".join(parts))
