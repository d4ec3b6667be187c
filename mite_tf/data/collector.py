"""Rows of captioned images, joined from what a reader finds."""

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mite_tf.data.problem import Place, Problem, quote
from mite_tf.data.splits import STANDARD, canonical_split, hashed_split, split_rank
from mite_tf.text import split_words

_USUAL = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images")
_SAMPLE = 16


@dataclass(frozen=True)
class CaptionedImage:
    """One image with its captions.

    Args:
        image: Path relative to the table's root, written with `/`; also the image's id.
        captions: One or more sentences.
        split: `"train"`, `"dev"`, `"test"` or a name of the user's own.
        where: File and line that the row was read from; not part of equality.
    """

    image: str
    captions: tuple[str, ...]
    split: str
    where: Place | None = field(default=None, compare=False)


@dataclass
class _Entry:
    where: Place | None
    captions: list[str] = field(default_factory=list)
    first_seen: dict[str, Place | None] = field(default_factory=dict)
    splits: dict[str, Place | None] = field(default_factory=dict)
    explained: bool = False  # a problem says why captions are missing, if they are


class Collector:
    """Collects images, captions and problems while a source is read.

    The rules are the same for all formats: captions are stripped of white space around them; one
    that is empty or holds no word is left out; the same caption twice is kept; rows that name the
    same image are joined; an image in two splits is kept in the one that must stay unseen (test
    before dev before train). A blank split says nothing.

    Args:
        base: Folder that the source lies in.
        root: Folder that image paths are relative to; found by looking below `base` when `None`.
    """

    def __init__(self, base: Path, root: Path | None = None) -> None:
        self.base = base
        self.root = root
        self.problems: dict[Problem, None] = {}  # a set that keeps its order
        self._entries: dict[str, _Entry] = {}
        self._ids: dict[str, str] = {}  # of names seen before

    def report(
        self, kind: str, message: str, where: Place | None, image: str | None = None
    ) -> None:
        """Notes a problem, once; the arguments are those of `Problem`."""
        self.problems[Problem(kind, message, where, image)] = None

    def image(self, name: str, where: Place | None, split: str | None = None) -> None:
        """Notes that the source names an image."""
        self._entry(name, where, split)

    def caption(
        self, name: str, text: object, where: Place | None, split: str | None = None
    ) -> None:
        """Notes a caption of an image; anything but a string with words becomes a problem."""
        found = self._entry(name, where, split)
        if found is None:
            return
        image, entry = found
        entry.explained = True
        if not isinstance(text, str):
            message = f"{image}: caption {quote(repr(text))} is no text"
            self.report("malformed-row", message, where, image)
        elif not _encodable(caption := text.strip()):
            message = f"{image}: caption {quote(caption)} holds half a surrogate pair"
            self.report("bad-encoding", message, where, image)
        elif not split_words(caption):
            message = f"{image} has an empty caption"
            if caption:
                message += f": {quote(ascii(caption)[1:-1])} holds no word"
            self.report("empty-caption", message, where, image)
        else:
            if caption in entry.first_seen:
                message = f"{image} has the caption {quote(caption)} more than once"
                if where and (first := entry.first_seen[caption]):
                    same = first.file == where.file
                    message += f", first in line {first.line}" if same else f", first at {first}"
                self.report("duplicate-caption", message, where, image)
            elif not entry.captions:
                entry.where = where
            entry.first_seen.setdefault(caption, where)
            entry.captions.append(caption)

    @property
    def splits_known(self) -> bool:
        """Whether the source names a split of any image; if not, splits are hashed."""
        return any(entry.splits for entry in self._entries.values())

    def rows(self) -> tuple[CaptionedImage, ...]:
        """Returns the usable rows, in order of first mention; notes what is wrong with others."""
        splits_known = self.splits_known
        rows = []
        for image, entry in self._entries.items():
            if len(entry.splits) > 1:
                told = [f"{each} ({at})" if at else each for each, at in entry.splits.items()]
                message = f"{image} is in {len(told)} splits: {' and '.join(told)}; kept in "
                message += f"{max(entry.splits, key=split_rank)} alone"
                *_, last = entry.splits.values()
                self.report("image-in-two-splits", message, last, image)
            if not entry.captions:
                if not entry.explained:
                    self.report("no-captions", f"{image} has no captions", entry.where, image)
            elif splits_known and not entry.splits:
                message = f"{image} has no split, though other images have one"
                self.report("missing-split", message, entry.where, image)
            else:
                split = max(entry.splits, key=split_rank) if splits_known else hashed_split(image)
                rows.append(CaptionedImage(image, tuple(entry.captions), split, entry.where))
        if not rows and not self.problems:
            self.report("nothing-read", "holds no captions", Place(str(self.base)))
        for split in dict.fromkeys(row.split for row in rows if row.split not in STANDARD):
            first = next(row for row in rows if row.split == split)
            message = f"split {split!r} is none of {', '.join(STANDARD)}, nor a synonym of one"
            self.report("unknown-split", message, first.where, first.image)
        return tuple(rows)

    def find_root(self) -> Path:
        """Returns the folder of the images: the one given, else the one that holds most of them."""
        if self.root is not None:
            return self.root
        try:
            others = sorted(folder for folder in self.base.iterdir() if folder.is_dir())
        except OSError:
            others = []
        usual = (self.base / name for name in _USUAL)
        return best_folder([self.base, *usual, *others], list(self._entries))

    def _entry(
        self, name: str, where: Place | None, split: str | None
    ) -> tuple[str, _Entry] | None:
        image = self._ids.get(name) or self._identify(name, where)
        if image is None:
            return None
        self._ids[name] = image
        entry = self._entries.setdefault(image, _Entry(where))
        if split is not None and split.strip():
            entry.splits.setdefault(canonical_split(split), where)
        return image, entry

    def _identify(self, name: str, where: Place | None) -> str | None:
        if not name:
            self.report("malformed-row", "names no image", where)
            return None
        if not _encodable(name):
            self.report("bad-encoding", f"image name {name!r} is not UTF-8", where, name)
            return None
        if "://" in name:
            message = f"{name} is a URL: download the images, then name the files"
            self.report("missing-image", message, where, name)
            return None
        path = Path(name)
        root = (self.root or self.base).absolute()
        if path.is_absolute() and path.is_relative_to(root):
            name = path.relative_to(root).as_posix()
        image = posixpath.normpath(name)
        if posixpath.isabs(image) or image.split("/")[0] == "..":
            message = f"{name} lies outside {root}: move the image there, or give another root"
            self.report("outside-root", message, where, name)
            return None
        return image


def best_folder(folders: Iterable[Path], names: Sequence[str]) -> Path:
    """Returns the folder that holds most of a sample of the named files, the first of equals."""
    sample = names[:: max(1, len(names) // _SAMPLE)]

    def held(folder: Path) -> int:
        # Unlike `Path.exists`, this does not raise where a name is too long for the file system.
        return sum(os.path.exists(folder / name) for name in sample)  # noqa: PTH110

    return max(folders, key=held)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
