"""Rows of captioned images, joined from what a reader finds."""

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mite_tf.data.problem import Place, Problem, counted, quote, shown
from mite_tf.data.splits import STANDARD, canonical_split, hashed_splits, split_rank
from mite_tf.files import is_hidden
from mite_tf.text import split_words

_USUAL = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images")
_SAMPLE = 16
# What pandas and others write, or JSON holds, where there is no value.
_BLANK = {"", "nan", "NaN", "None", "null", "NULL", "<NA>", "NaT", "NA", "N/A", "n/a", "#N/A"}
_TYPES = {bool: "true or false", int: "a number", float: "a number", list: "a list"}


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
    places: list[Place | None] = field(default_factory=list)  # of the captions
    first_seen: dict[str, Place | None] = field(default_factory=dict)
    splits: dict[str, Place | None] = field(default_factory=dict)
    explained: bool = False  # a problem says why captions are missing, if they are
    found: str = ""  # what stood where captions were looked for

    def add(self, image: str, caption: str, where: Place | None) -> Iterator[Problem]:
        """Takes a caption; yields a problem if it is here already."""
        if caption in self.first_seen:
            message = f"{image} has the caption {quote(caption)} more than once"
            if where and (first := self.first_seen[caption]):
                message += f", first {first.seen_from(where)}"
            yield Problem("duplicate-caption", message, where, image)
        elif not self.captions:
            self.where = where
        self.first_seen.setdefault(caption, where)
        self.captions.append(caption)
        self.places.append(where)


class Collector:
    """Collects images, captions and problems while a source is read.

    The rules are the same for all formats: captions are stripped of white space around them; one
    that is empty or holds no word is left out; the same caption twice is kept; rows that name the
    same image are joined, whatever way they write its path; an image in two splits is kept in the
    one that must stay unseen (test before dev before train). A blank split says nothing.

    Args:
        base: Folder that the source lies in.
        root: Folder that image paths are relative to; found by looking below `base` when `None`.
    """

    def __init__(self, base: Path, root: Path | None = None) -> None:
        self.base = base
        self.root = root
        self.problems: dict[Problem, None] = {}  # a set that keeps its order
        self._entries: dict[str, _Entry] = {}
        self._ids: dict[str, str | None] = {}  # of names seen before
        self._written: dict[str, tuple[str, Place | None]] = {}  # first name of each id

    def report(
        self, kind: str, message: str, where: Place | None, image: str | None = None
    ) -> None:
        """Notes a problem, once; the arguments are those of `Problem`."""
        self.problems[Problem(kind, message, where, image)] = None

    def image(
        self, name: object, where: Place | None, split: object = None, found: str = ""
    ) -> None:
        """Notes that the source names an image, and `found` there what may have been captions."""
        if entry := self._entry(name, where, split):
            entry[1].found = entry[1].found or found

    def knows(self, name: str, where: Place | None) -> bool:
        """Returns whether the source has named an image before."""
        return self._id(name, where) in self._entries

    def caption(
        self, name: object, text: object, where: Place | None, split: object = None
    ) -> None:
        """Notes a caption of an image; anything but a string with words becomes a problem."""
        found = self._entry(name, where, split)
        if found is None:
            return
        image, entry = found
        entry.explained = True
        if is_blank(text):
            message = f"{image} has an empty caption"
            if text is None or str(text).strip():
                told = str(text).strip() if isinstance(text, str) else shown(text)
                message += f": {told} stands for a missing value, not for words"
            self.report("empty-caption", message, where, image)
        elif not isinstance(text, str):
            what = _TYPES.get(type(text), "an object")
            message = f"{image}: caption {shown(text)} is {what}, not a text in quotes"
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
            self.problems.update(dict.fromkeys(entry.add(image, caption, where)))

    @property
    def splits_known(self) -> bool:
        """Whether the source names a split of any image; if not, splits are hashed."""
        return any(entry.splits for entry in self._entries.values())

    def rows(self, root: Path) -> tuple[CaptionedImage, ...]:
        """Returns the usable rows, in order of first mention; notes what is wrong with others."""
        self._join_files(root)
        self._tell_joined_sources()
        splits_known = self.splits_known
        usable, splits = [], []
        for image, entry in self._entries.items():
            if len(entry.splits) > 1:
                told = [f"{each} ({at})" if at else each for each, at in entry.splits.items()]
                message = f"{image} is in {len(told)} splits: {' and '.join(told)}; kept in "
                message += f"{max(entry.splits, key=split_rank)} alone"
                *_, last = entry.splits.values()
                self.report("image-in-two-splits", message, last, image)
            if not entry.captions:
                if not entry.explained:
                    message = f"{image} has no captions{entry.found and f': {entry.found}'}"
                    self.report("no-captions", message, entry.where, image)
            elif splits_known and not entry.splits:
                message = f"{image} has no split, though other images have one"
                self.report("missing-split", message, entry.where, image)
            else:
                usable.append(image)
                splits.append(max(entry.splits, key=split_rank, default=""))
        if not splits_known:
            splits = hashed_splits(usable)
        rows = []
        for image, split in zip(usable, splits, strict=True):
            entry = self._entries[image]
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

        def holds(folder: Path) -> int:  # what is named from the base counts for folders below it
            own = "" if folder == self.base else f"{os.path.relpath(folder, self.base)}/"
            return held(folder, [name.removeprefix(own) for name in self._entries])

        return max(self.folders(), key=holds)

    def folders(self) -> list[Path]:
        """Returns where images may lie: in the root given, else in the base or just below it."""
        if self.root is not None:
            return [self.root]
        try:
            below = sorted(folder for folder in self.base.iterdir() if folder.is_dir())
        except OSError:
            below = []
        usual = (self.base / name for name in _USUAL)
        return [self.base, *usual, *(folder for folder in below if not is_hidden(folder.name))]

    def _entry(self, name: object, where: Place | None, split: object) -> tuple[str, _Entry] | None:
        if not isinstance(name, str):
            self.report("malformed-row", f"image {shown(name)} is no path", where)
            return None
        image = self._id(name, where)
        if image is None:
            return None
        if not is_blank(split) and not isinstance(split, str):
            self.report("malformed-row", f"{name}: split {shown(split)} is no text", where)
            return None
        entry = self._entries.get(image)
        if entry is None:
            entry = self._entries[image] = _Entry(where)
        if isinstance(split, str) and not is_blank(split):
            entry.splits.setdefault(canonical_split(split), where)
        return image, entry

    def _id(self, name: str, where: Place | None) -> str | None:
        """Returns the id of an image; tells, once, if it can have none or has another name too."""
        if name in self._ids:
            return self._ids[name]
        image = self._identify(name, where)
        if not is_blank(name):  # which is told with each line
            self._ids[name] = image
        if image is not None:
            first, at = self._written.setdefault(image, (name, where))
            if first != name:
                message = f"{name} names the same file as {first}{_first(at, where)}: one image"
                self.report("image-named-twice", message, where, image)
        return image

    def _identify(self, name: str, where: Place | None) -> str | None:
        if is_blank(name):
            told = f": {name.strip()} stands for a missing value" if name.strip() else ""
            self.report("malformed-row", f"names no image{told}", where)
            return None
        if not _encodable(name):
            self.report("bad-encoding", f"image name {name!r} is not UTF-8", where, name)
            return None
        if "://" in name:
            message = f"{name} is a URL: download the images, then name the files"
            self.report("missing-image", message, where, name)
            return None
        root = self.root or self.base
        image = posixpath.normpath(_below(root, name) if Path(name).is_absolute() else name)
        if posixpath.isabs(image) or image.split("/")[0] == "..":
            message = f"{name} lies outside {root.absolute()}: move the image there, "
            self.report("outside-root", f"{message}or give another root", where, name)
            return None
        return image

    def _join_files(self, root: Path) -> None:
        """Joins entries that are one file: links, or names that differ in form and not in meaning.

        Such are paths from the base beside paths from the root, backslashes, and accents as
        characters of their own, of which at most one form is the name of a file.
        """
        files = {image: _file(root / image) for image in self._entries}
        for image in [image for image, file in files.items() if file is None]:
            # From the base, or as an archive made on macOS writes it, or one made elsewhere.
            paths = [] if image.isascii() else [root / form for form in _forms(image)]
            for path in [*paths, self.base / image] if root != self.base else paths:
                if path.is_relative_to(root) and (file := _file(path)):
                    meant = path.relative_to(root).as_posix()
                    self._join(image, meant)
                    del files[image]
                    files[meant] = file
                    break
        kept: dict[object, str] = {}
        for image, file in sorted(files.items(), key=lambda each: each[1] is None):
            name = unicodedata.normalize("NFC", posixpath.normpath(image.replace("\\", "/")))
            into = kept.setdefault(file or name, image)
            kept.setdefault(name, image)
            if into != image:
                self._join(image, into)

    def _join(self, image: str, into: str) -> None:
        gone = self._entries.pop(image)
        if into in self._entries:
            first = _first(self._entries[into].where, gone.where)
            alike = _forms(image) == _forms(into)
            one, other = (ascii(name) if alike else name for name in (image, into))
            message = f"{one} names the same file as {other}{first}: one image"
            self.report("image-named-twice", message, gone.where, into)
        entry = self._entries.setdefault(into, _Entry(gone.where))
        for caption, where in zip(gone.captions, gone.places, strict=True):
            self.problems.update(dict.fromkeys(entry.add(into, caption, where)))
        for split, at in gone.splits.items():
            entry.splits.setdefault(split, at)
        entry.explained |= gone.explained

    def _tell_joined_sources(self) -> None:
        """Notes which files give captions to the same images, as an old copy of one would."""
        joined = defaultdict(list)
        for image, entry in self._entries.items():
            first, *others = dict.fromkeys(at.file for at in entry.places if at) or [""]
            for other in others:
                joined[first, other].append(image)
        for (first, other), images in joined.items():
            message = f"has captions of {counted(len(images), 'image')} that {first} has captions "
            message += f"of too, such as {images[0]}: all are used"
            self.report("joined-captions", message, Place(other))


def held(folder: Path, names: Sequence[str]) -> int:
    """Counts how many of a sample of the named files a folder holds."""
    sample = names[:: max(1, len(names) // _SAMPLE)]
    # Unlike `Path.exists`, this does not raise where a name is too long for the file system.
    return sum(os.path.exists(folder / name) for name in sample)  # noqa: PTH110


def is_blank(value: object) -> bool:
    """Returns whether a value is empty, or how pandas or JSON write that there is none.

    Example:
        >>> [is_blank(value) for value in (" ", None, float("nan"), "<NA>", "A nan bread.", 0)]
        [True, True, True, True, False, False]
    """
    return str(value).strip() in _BLANK


def _first(place: Place | None, seen_from: Place | None) -> str:
    """Writes where something stood first, for the middle of a message."""
    return f" ({place.seen_from(seen_from)})" if place else ""


def _below(root: Path, name: str) -> str:
    """Writes an absolute path relative to a root, if it lies there, by its name or by its links."""
    path, folder = Path(os.path.normpath(name)), Path(os.path.abspath(root))  # noqa: PTH100
    with suppress(OSError, ValueError, RuntimeError):
        if not path.is_relative_to(folder):
            path, folder = path.parent.resolve() / path.name, folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name


def _file(path: Path) -> tuple[int, int] | None:
    """Tells a file from every other, whatever paths lead to it; `None` where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _forms(name: str) -> tuple[str, str]:
    """Writes accents as one character with their letter, and as characters of their own."""
    return unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
