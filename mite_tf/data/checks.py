"""Checking a corpus before training: every image decoded, every problem told with its place."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.check_images import Inspection, inspect_image, quiet_pillow
from mite_tf.data.collector import CaptionedImage
from mite_tf.data.problem import KINDS, Problem, counted
from mite_tf.data.readers import read
from mite_tf.data.splits import STANDARD, hashed_splits, split_rank
from mite_tf.data.unknown_words import find_unknown, shares_of_unknown_words
from mite_tf.errors import MiteError
from mite_tf.progress import plain
from mite_tf.progress import progress as shown_progress

_SHOWN = 20
_FEW = 50  # below, the first ten are a fifth of all, and an image is 2 points of recall
_OF_PROBE = 5  # images that the probe for the modality needs, one for each of its folds
_LACKS = {
    "train": "there is nothing to train on",
    "dev": "`mite train` refuses, as nothing tells which epoch is best",
    "test": "the best model can be measured on dev alone, by which it was chosen",
}
_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    source: CaptionedImages | str | os.PathLike[str],
    *,
    format: str | None = None,
    root: str | os.PathLike[str] | None = None,
    workers: int = 2,
    progress: bool = True,
) -> "CheckReport":
    """Finds what would break or spoil a training, in the captions and in the images.

    Args:
        source: A table, or a path as `mite_tf.data.read` takes it.
        format: As for `read`.
        root: As for `read`.
        workers: Threads that decode.
        progress: Whether to show a progress bar, on standard error if that is a terminal.

    Returns:
        The problems of reading, of the images and of the splits, and the table without what has
        errors. The same content in two splits is left in the one that must stay unseen: test
        before dev before train.

    Raises:
        MiteError: The path cannot be read at all; see `mite_tf.data.read`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "broken.png").touch()
        ...     table = CaptionedImages.from_lists(["broken.png"], ["Nothing."], root=folder)
        ...     [problem.message for problem in check(table).errors]
        ['broken.png is empty: 0 bytes']
    """
    table = source
    if not isinstance(table, CaptionedImages):
        table = read(table, format=format, root=root)
    inspections = inspect_images(table.paths, workers=workers, progress=progress)
    found = [
        Problem(fault.kind, f"{row.image} {fault.message}", row.where, row.image)
        for row, inspection in zip(table, inspections, strict=True)
        for fault in inspection.faults
    ]
    found += _find_twins(table.rows, [inspection.digest for inspection in inspections])
    broken = {problem.image for problem in found if problem.severity == "error"}
    usable = tuple(row for row in table if row.image not in broken)
    if table.hashed_splits and {row.split for row in usable} != set(table.splits):
        # What is left is hashed anew, so that no split is empty.
        splits = hashed_splits([row.image for row in usable])
        usable = tuple(replace(row, split=each) for row, each in zip(usable, splits, strict=True))
    rest = replace(table, rows=usable, problems=())
    shares = shares_of_unknown_words(rest)
    problems = (*table.problems, *found, *_judge_splits(rest), *find_unknown(rest, shares))
    return CheckReport(rest, problems, len(table), shares)


def inspect_images(
    paths: Sequence[Path], *, workers: int = 2, progress: bool = True
) -> list[Inspection]:
    """Looks up and decodes image files, with threads and a progress bar as `check` has them."""
    inspections: list[Inspection] = []
    pool = ThreadPoolExecutor(workers)
    with quiet_pillow(), shown_progress("Checking images", "images", quiet=not progress) as done:
        try:
            for inspection in pool.map(inspect_image, paths):
                inspections.append(inspection)
                done(len(inspections), len(paths))
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest
    return inspections


def refuse(errors: Sequence[Problem], where: str, advice: str) -> None:
    """Raises a `MiteError` with the first errors and with advice, if there are any."""
    if errors:
        kinds = Counter(problem.kind for problem in errors).most_common()
        lines = [f"{counted(len(errors), 'error')} in {where}:"]
        lines += [f"  {problem}" for problem in errors[:_SHOWN]]
        if len(errors) > _SHOWN:
            lines.append(f"  … and {len(errors) - _SHOWN} more")
        lines.append(f"In all: {', '.join(f'{number} {kind}' for kind, number in kinds)}.")
        raise MiteError("\n".join([*lines, advice]))


def _judge_splits(table: CaptionedImages) -> Iterator[Problem]:
    """Yields a problem for each split that is missing or too small, with what it will lack."""
    for split in STANDARD if len(table) else ():
        images = table.splits.get(split, 0)
        if images == 0:
            yield Problem("absent-split", f"no image is in the split {split}: {_LACKS[split]}")
        elif split == "train" and images == 1:
            message = "the split train has 1 image: there is no other to tell it from"
            yield Problem("small-split", message)
        elif split != "train" and images < _FEW:
            first, five, ten = (f"{100 * min(1, k / images):.0f} %" for k in (1, 5, 10))
            message = f"the split {split} has {counted(images, 'image')}: a random order finds "
            message += f"{first} of them first, {five} among five and {ten} among ten, so recall "
            message += "tells little"
            if images < _OF_PROBE:
                message += f"; the probe, which needs {_OF_PROBE}, is left out"
            yield Problem("small-split", message)


def _find_twins(
    rows: Sequence[CaptionedImage], digests: Sequence[bytes | None]
) -> Iterator[Problem]:
    """Yields a problem for every image but the kept one among those of the same bytes."""
    groups = defaultdict(list)
    for row, digest in zip(rows, digests, strict=True):
        if digest is not None:
            groups[digest].append(row)
    for twins in groups.values():
        kept = max(twins, key=lambda row: split_rank(row.split))
        for row in twins:
            if row.split != kept.split:
                message = f"{row.image} ({row.split}) has the same content as {kept.image} "
                message += f"({kept.split}): an image must be in one split only"
                yield Problem("content-in-two-splits", message, row.where, row.image)
            elif row is not kept:
                message = f"{row.image} has the same content as {kept.image}: make them one row"
                yield Problem("identical-images", message, row.where, row.image)


@dataclass(frozen=True)
class CheckReport:
    """All problems of a corpus, and the part of it that can be used.

    Args:
        table: The rows without errors; its own `problems` are empty.
        problems: Everything found, in reading order, then image files, then splits.
        images: Number of images with captions, usable or not.
        unknown_words: Share of words, by split, that hold a character which train lacks.
    """

    table: CaptionedImages
    problems: tuple[Problem, ...]
    images: int
    unknown_words: dict[str, float] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep an image or a caption from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind found, in the order of `KINDS`."""
        found = Counter(problem.kind for problem in self.problems)
        return {kind: found[kind] for kind in KINDS if kind in found}

    def raise_if_broken(self) -> None:
        """Raises a `MiteError` with the first errors and with how to go on, if there are errors."""
        refuse(self.errors, "the corpus", self._advice())

    def print(self, console: Console | None = None, *, shown: int = _SHOWN) -> None:
        """Prints the report, `shown` of the problems in full, errors first, a line each."""
        console = console or Console()

        def line(text: object, style: str = "") -> None:
            console.print(plain(text, style), soft_wrap=True)

        line(f"Usable: {self.table.summary()}")
        if self.unknown_words:
            shares = [f"{share:.1%} of {split}" for split, share in self.unknown_words.items()]
            line(f"Words with a character that train lacks: {', '.join(shares)}.")
        if not self.problems:
            line(f"No problems in {counted(self.images, 'image')}.", "green")
            return
        table = Table("severity", "kind", "count")
        for kind, count in self.counts.items():
            table.add_row(KINDS[kind], kind, str(count), style=_STYLES[KINDS[kind]])
        console.print(table)
        worst_first = sorted(self.problems, key=lambda each: list(_STYLES).index(each.severity))
        for problem in worst_first[:shown]:
            line(problem, _STYLES[problem.severity])
        if len(worst_first) > shown:
            line(f"… and {len(worst_first) - shown} more")
        if self.errors:
            line(self._advice())

    def to_json(self) -> str:
        """Returns the report as a JSON object, for other programs: what is usable, all problems."""
        table = self.table
        report = {
            "root": str(table.root),
            "fingerprint": table.fingerprint(),
            "images": self.images,
            "usable": {
                "images": len(table),
                "captions": len(table.captions),
                "splits": table.splits,
            },
            "unknown_words": self.unknown_words,
            "counts": self.counts,
            "problems": [
                {
                    "kind": problem.kind,
                    "severity": problem.severity,
                    "file": problem.where and problem.where.file,
                    "line": problem.where and problem.where.line,
                    "entry": problem.where and problem.where.entry,
                    "image": problem.image,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }
        return json.dumps(report, indent=2)

    def _advice(self) -> str:
        if 0 < self.images == self.counts.get("missing-image"):
            return (
                f"No image was found below {self.table.root}: if the images lie elsewhere, name "
                "their folder with root=... (--root ...)."
            )
        if not self.table.rows:
            return "Nothing usable is left."
        return (
            "Mend them, or train without them with skip_bad=True (--skip-bad); that leaves "
            f"{counted(len(self.table), 'image')} with "
            f"{counted(len(self.table.captions), 'caption')}."
        )
