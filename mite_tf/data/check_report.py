"""What a check of a corpus found."""

import io
import json
from collections import Counter
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.check_problem import KINDS, Problem, counted
from mite_tf.errors import MiteError

_SHOWN = 20


@dataclass(frozen=True)
class CheckReport:
    """All problems of a corpus, and the part of it that can be used.

    Args:
        table: The rows without errors; its own `problems` are empty.
        problems: Everything found, in reading order, image files last.
        images: Number of images with captions, usable or not.

    Example:
        >>> from mite_tf.data.check_problem import Place
        >>> where = Place("captions.csv", 2)
        >>> problem = Problem("missing-image", "a.jpg is missing", where, "a.jpg")
        >>> report = CheckReport(CaptionedImages(()), (problem,), images=2)
        >>> report.counts
        {'missing-image': 1}
        >>> report.raise_if_broken()
        Traceback (most recent call last):
        ...
        mite_tf.errors.MiteError: 1 error in the corpus:
          captions.csv:2: a.jpg is missing
        In all: 1 missing-image.
        Nothing usable is left.
    """

    table: CaptionedImages
    problems: tuple[Problem, ...]
    images: int

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep an image or a caption from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that ask for a look; what they concern is used all the same."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind found, in the order of `KINDS`."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS if kind in found}

    def raise_if_broken(self) -> None:
        """Refuses a corpus that has errors.

        Raises:
            MiteError: There are errors; the message tells the first of them, their number by
                kind, and how to go on without what is broken.
        """
        errors = self.errors
        if not errors:
            return
        kinds = Counter(problem.kind for problem in errors).most_common()
        lines = [f"{counted(len(errors), 'error')} in the corpus:"]
        lines += [f"  {problem}" for problem in errors[:_SHOWN]]
        if len(errors) > _SHOWN:
            lines.append(f"  … and {len(errors) - _SHOWN} more")
        lines.append(f"In all: {', '.join(f'{number} {kind}' for kind, number in kinds)}.")
        lines.append(self._advice())
        raise MiteError("\n".join(lines))

    def to_text(self, *, shown: int = _SHOWN, width: int = 100) -> str:
        """Renders the report as plain text.

        Args:
            shown: How many of the problems to print in full, errors first.
            width: Width of the table in characters; the lines of problems are never broken.

        Returns:
            Several lines of text.
        """
        console = Console(file=io.StringIO(), width=width, color_system=None)
        with console.capture() as capture:
            self.print(console, shown=shown)
        return capture.get()

    def print(self, console: Console | None = None, *, shown: int = _SHOWN) -> None:
        """Prints the report.

        Args:
            console: Where to print; standard output when `None`.
            shown: How many of the problems to print in full, errors first.
        """
        console = console or Console()

        def line(text: object, style: str = "") -> None:
            console.print(Text(str(text), style), soft_wrap=True)

        line(f"Usable: {self.table.summary()}")
        if not self.problems:
            line(f"No problems in {counted(self.images, 'image')}.", "green")
            return
        table = Table("severity", "kind", "count")
        for kind, count in self.counts.items():
            table.add_row(KINDS[kind], kind, str(count), style=_STYLES[KINDS[kind]])
        console.print(table)
        order = list(_STYLES)
        worst_first = sorted(self.problems, key=lambda problem: order.index(problem.severity))
        for problem in worst_first[:shown]:
            line(problem, _STYLES[problem.severity])
        if len(worst_first) > shown:
            line(f"… and {len(worst_first) - shown} more")
        if self.errors:
            line(self._advice())

    def to_json(self) -> str:
        """Renders the report for other programs.

        Returns:
            A JSON object: `root`, `fingerprint`, `images` (looked up), `usable` (`images`,
            `captions`, `splits`), `counts`, and `problems` with `kind`, `severity`, `file`,
            `line`, `image` and `message`.
        """
        usable = {
            "images": len(self.table),
            "captions": len(self.table.captions),
            "splits": self.table.splits,
        }
        report = {
            "root": str(self.table.root),
            "fingerprint": self.table.fingerprint(),
            "images": self.images,
            "usable": usable,
            "counts": self.counts,
            "problems": [_to_plain(problem) for problem in self.problems],
        }
        return json.dumps(report, indent=2)

    def _advice(self) -> str:
        missing = self.counts.get("missing-image", 0)
        if missing and missing == self.images:
            return (
                f"No image was found below {self.table.root}: if the images lie elsewhere, name "
                "their folder with root=... (--root ...)."
            )
        if not self.table.rows:
            return "Nothing usable is left."
        return (
            "Mend them, or go on without them with --skip-bad; that leaves "
            f"{counted(len(self.table), 'image')} with "
            f"{counted(len(self.table.captions), 'caption')}."
        )


_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def _to_plain(problem: Problem) -> dict[str, object]:
    file, line = problem.where or (None, None)
    plain = asdict(problem) | {"severity": problem.severity, "file": file, "line": line}
    del plain["where"]
    return plain
