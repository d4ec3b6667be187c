"""The report of a study: figures, and tables for a page, a document and a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.evaluation.differences import Difference, t_interval
from mite_tf.files import write_text, written_beside
from mite_tf.progress import plain
from mite_tf.reports.figures import COLOURS, INK, SOFT, legend_below, new_figure
from mite_tf.reports.pages import PageFigure, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BySeed = Mapping[int, float]


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
            grid.add_column(plain(name), justify="left" if first else "right", no_wrap=first)
        for row in self.rows:
            grid.add_row(*map(plain, row[:-1]))
        (console or Console()).print(grid)

    def to_markdown(self) -> str:
        """Returns heading, note and table in Markdown."""
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


def plot_variants(
    rsums: Mapping[str, _BySeed], probes: Mapping[str, _BySeed], *, chance: float
) -> "Figure":
    """Draws recall sum and fresh probe's accuracy, by variant and seed, with a dot for each run.

    Grey lines join the runs of one seed, bars are means, from three seeds on with Student's 95 %
    interval; dotted lines are chance, where `chance` is that of the recall sum. Without any probe
    there is no panel for it.
    """
    dots = "A dot is a run; grey lines join runs of one seed."
    shown = [(rsums, "recall sum (0 to 600)", chance, dots)]
    if any(probes.values()):
        alike = "At chance, images and captions look alike."
        shown.append((probes, "accuracy of a fresh probe (share)", 0.5, alike))
    figure, panels = new_figure(_best(rsums), len(shown), height=3.9)
    for panel, (variants, label, level, title) in zip(panels, shown, strict=True):
        for seed in set().union(*variants.values()):
            joined = {x: each[seed] for x, each in enumerate(variants.values()) if seed in each}
            line: dict[str, Any] = {"color": SOFT, "linewidth": 0.7, "alpha": 0.6, "zorder": 1}
            panel.plot(list(joined), list(joined.values()), **line)
        for x, by_seed in enumerate(variants.values()):
            values = list(by_seed.values())
            colour = COLOURS[x % len(COLOURS)]
            panel.scatter([x] * len(values), values, s=28, color=colour, zorder=3)
            mean, interval = float(np.mean(values)), t_interval(values)
            panel.plot([x + 0.1, x + 0.26], [mean, mean], color=colour, linewidth=2)
            if interval is not None and len(values) > 2:  # that of two is too wide to draw to scale
                panel.vlines(x + 0.18, *interval, color=colour, linewidth=2)
        names = list(variants)
        panel.set_xticks(range(len(names)), names, rotation=20 if len(names) > 3 else 0)
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.set_ylabel(label)
        panel.set_title(title, fontsize=10)
        panel.axhline(level, color=INK, linestyle=":", linewidth=1.2)
    return figure


def plot_differences(against: str, rsums: Mapping[str, Difference]) -> "Figure":
    """Draws differences of the recall sum to one variant, with intervals and dots for seeds."""
    title = f"Where the bar is clear of the line at 0, retrieval differs from that of {against}."
    figure, [panel] = new_figure(title, 1, height=1.2 + 0.6 * len(rsums))
    for y, each in enumerate(rsums.values()):
        for interval, place, label, colour, width in (
            (each.student, y, "95 % interval over seeds (Student)", COLOURS[0], 5),
            (each.over_queries, y + 0.2, "over queries and seeds (bootstrap)", COLOURS[1], 2),
        ):
            if interval is not None:
                style: dict[str, Any] = {"color": colour, "linewidth": width, "alpha": 0.6}
                panel.hlines(place, *interval, label="" if y else label, **style)
        values = list(each.differences.values())
        dots, mean = ("", "") if y else ("a seed", "mean")
        panel.scatter(values, [y - 0.2] * len(values), s=14, color=SOFT, label=dots)
        panel.scatter([each.mean], [y], s=50, color=COLOURS[0], zorder=3, label=mean)
    panel.axvline(0, color=INK, linestyle=":", linewidth=1.2)
    panel.set_yticks(range(len(rsums)), list(rsums))
    panel.set_ylim(len(rsums) - 0.5, -0.5)
    panel.set_xlabel(f"recall sum minus that of {against}")
    legend_below(figure, panel)
    return figure


def _best(rsums: Mapping[str, _BySeed]) -> str:
    """Says which variant retrieves best over the seeds that all have, if one clearly does."""
    seeds = set.intersection(*map(set, rsums.values()))
    if not seeds:
        return "Recall sum and probe accuracy of variants without a seed in common."
    means = {
        name: float(np.mean([value for seed, value in by_seed.items() if seed in seeds]))
        for name, by_seed in rsums.items()
    }
    best, mean = max(means.items(), key=lambda item: item[1])
    others = [
        t_interval([rsums[best][seed] - by_seed[seed] for seed in seeds])
        for name, by_seed in rsums.items()
        if name != best
    ]
    if all(interval is not None and interval.low > 0 for interval in others):
        return f"{best} has the highest mean recall sum, {mean:.1f} of 600 (seeds that all have)."
    return "No variant's mean recall sum is clear of all others'."
