"""Images and the captions that belong to them: the table everything else reads."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from mite_tf.data.collector import CaptionedImage, Collector
from mite_tf.data.problem import Problem, counted
from mite_tf.data.splits import STANDARD, canonical_split
from mite_tf.errors import MiteError


@dataclass(frozen=True)
class CaptionedImages(Sequence[CaptionedImage]):
    """Immutable table of images with any number of captions each, in any language.

    Nothing here opens an image: `mite_tf.data.check` does. The lists that the properties give
    are computed once and shared: read them, do not change them.

    Args:
        rows: One row per image, each image once.
        root: Folder that the rows' paths are relative to.
        problems: What was wrong in the source; the rows hold only what could be used.
        format: How the source was written; shown in the summary.
        hashed_splits: Whether the source had no splits, so that a hash of the image id decided.

    Raises:
        MiteError: An image stands in two rows.

    Example:
        >>> captions = [["A dog runs.", "Ein Hund rennt."], "A cat sleeps."]
        >>> table = CaptionedImages.from_lists(["dog.jpg", "cat.jpg"], captions, ["train", "val"])
        >>> table.captions, table.caption_image.tolist()
        (['A dog runs.', 'Ein Hund rennt.', 'A cat sleeps.'], [0, 0, 1])
        >>> table.split("dev").image_ids
        ['cat.jpg']
    """

    rows: tuple[CaptionedImage, ...]
    root: Path = Path()
    problems: tuple[Problem, ...] = field(default=(), compare=False)
    format: str = field(default="lists", compare=False)
    hashed_splits: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        repeated = [image for image, n in Counter(row.image for row in self.rows).items() if n > 1]
        if repeated:
            place = f"Image {repeated[0]!r} stands in more than one row"
            raise MiteError(f"{place}; give it one row that holds all its captions.")

    @classmethod
    def from_lists(
        cls,
        images: Sequence[str | os.PathLike[str]],
        captions: Sequence[str | Sequence[str]],
        splits: Sequence[str] | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> "CaptionedImages":
        """Makes a table from Python lists, as a notebook has them.

        Rows that name the same image are joined. Empty captions, pandas' `NaN` and the like are
        left out and told in `problems`, as when reading a file.

        Args:
            images: Paths, relative to `root` or absolute below it.
            captions: A caption, or a sequence of captions, for each of `images`.
            splits: A split for each of `images`; by hash of the image id when `None`.
            root: Folder of the images; when `None`, the folder that absolute paths have in
                common, else the current one.

        Raises:
            MiteError: The lists differ in length.
        """
        lengths = [len(images), len(captions)] + ([] if splits is None else [len(splits)])
        if len(set(lengths)) > 1:
            raise MiteError(
                "images, captions and splits must be equally long. "
                f"Received lengths {', '.join(map(str, lengths))}."
            )
        names = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in images]
        if root is None:
            paths = [Path(name) for name in names if isinstance(name, str)]
            absolute = bool(paths) and all(path.is_absolute() for path in paths)
            root = os.path.commonpath([path.parent for path in paths]) if absolute else ""
        collector = Collector(Path(root), root=Path(root))
        for number, (name, sentences) in enumerate(zip(names, captions, strict=True)):
            split = None if splits is None else splits[number]
            collector.image(name, None, split)
            several = isinstance(sentences, Iterable) and not isinstance(sentences, str)
            for sentence in sentences if several else [sentences]:
                collector.caption(name, sentence, None, split)
        return cls.from_collector(collector, "lists")

    @classmethod
    def from_collector(cls, collector: Collector, format: str) -> "CaptionedImages":
        """Makes a table of what a reader collected from a source in some format."""
        root = collector.find_root()
        rows, hashed = collector.rows(root), not collector.splits_known
        return cls(rows, root, tuple(collector.problems), format, hashed)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[CaptionedImage]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> CaptionedImage: ...
    @overload
    def __getitem__(self, index: slice) -> "CaptionedImages": ...
    def __getitem__(self, index: int | slice) -> "CaptionedImage | CaptionedImages":
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index])
        return self.rows[index]

    def __repr__(self) -> str:
        counts = f"{len(self)} images, {len(self.captions)} captions"
        return f"CaptionedImages({counts}, splits={self.splits}, root={str(self.root)!r})"

    def split(self, name: str) -> "CaptionedImages":
        """Returns the rows of one split; `problems` stay those of the whole source.

        Raises:
            MiteError: No row is in the split of that name, or of the name it is a synonym of.
        """
        wanted = canonical_split(name)
        rows = tuple(row for row in self.rows if row.split == wanted)
        if not rows:
            known = [f"{split} ({counted(n, 'image')})" for split, n in self.splits.items()]
            told = (
                f"There is no split {name!r}; the table has {', '.join(known) or 'no rows at all'}."
            )
            if wanted in STANDARD and self.hashed_splits:
                told += " There are too few images to give each split one."
            elif wanted in STANDARD and known:
                told += f" Name images of the split {wanted}, or leave out all splits: a hash of "
                told += "the names then decides."
            raise MiteError(told)
        return replace(self, rows=rows)

    @cached_property
    def splits(self) -> dict[str, int]:
        """Number of images in each split, in order of first appearance."""
        return dict(Counter(row.split for row in self.rows))

    @cached_property
    def image_ids(self) -> list[str]:
        """Id of each image, its path relative to `root`."""
        return [row.image for row in self.rows]

    @cached_property
    def paths(self) -> list[Path]:
        """Path of each image, `root` included."""
        return [self.root / row.image for row in self.rows]

    @cached_property
    def captions(self) -> list[str]:
        """All captions, image after image."""
        return [caption for row in self.rows for caption in row.captions]

    @cached_property
    def caption_image(self) -> np.ndarray:
        """Row that each of `captions` belongs to: int64 of shape [captions], read-only."""
        counts = [len(row.captions) for row in self.rows]
        owner = np.repeat(np.arange(len(counts)), counts)
        owner.setflags(write=False)
        return owner

    def fingerprint(self) -> str:
        """Returns the SHA-256 of image ids, captions and splits, in order, in hexadecimal.

        Root, place of reading and the bytes of the images do not count, so a corpus that was
        moved keeps its fingerprint.
        """
        lines = (json.dumps([row.image, row.split, row.captions]) + "\n" for row in self.rows)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def summary(self) -> str:
        """Returns a few lines: size, splits, where the splits come from, number of problems."""
        size = f"{counted(len(self), 'image')} with {counted(len(self.captions), 'caption')}"
        lines = [f"{size} ({self.format}), root {self.root}"]
        for split, images in self.splits.items():
            counts = [len(row.captions) for row in self.rows if row.split == split]
            low, high = min(counts), max(counts)
            lines.append(
                f"  {split}: {counted(images, 'image')}, {counted(sum(counts), 'caption')}, "
                f"{low if low == high else f'{low} to {high}'} per image"
            )
        if self.hashed_splits and self.rows:
            lines.append(
                "The source has no splits: assigned by hash of the image id, "
                "80 % train, 10 % dev, 10 % test; of three images each split gets one."
            )
        if self.problems:
            severities = Counter(problem.severity for problem in self.problems)
            told = [counted(number, severity) for severity, number in severities.items()]
            lines.append(f"Reading found {', '.join(told)}: see `problems`.")
        return "\n".join(lines)
