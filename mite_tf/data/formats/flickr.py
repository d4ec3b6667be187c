"""Flickr8k and Flickr30k: a token file, and lists that name the images of each split."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import (
    Text,
    read_text,
    visible,
    visible_files,
)
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import STANDARD, split_in_name
from mite_tf.image_headers import IMAGE_SUFFIXES

_LINE = re.compile(r"(?P<image>.+?)#(?P<number>\d+)\t(?P<caption>.*)", re.DOTALL)


def find_tokens(path: Path) -> list[Path]:
    """Finds the token files, but not the lemmatised ones, in a folder or one level below it."""
    if path.is_file():
        return [path] if _is_tokens(path) else []
    here = [file for file in visible_files(path) if _is_tokens(file)]
    if not here:
        for folder in (entry for entry in visible(path) if entry.is_dir()):
            with suppress(OSError):
                here += [file for file in visible_files(folder) if _is_tokens(file)]
    return here


def read_tokens(files: Sequence[Path], collector: Collector) -> None:
    """Reads lines `NAME.jpg#K<TAB>sentence` and the split lists that lie beside them.

    Where there are lists, captions of an image that none of them names are left out, with one
    note: the original Flickr8k token file holds such lines.
    """
    tokens = {file: read_text(file, collector) for file in files}
    names = dict.fromkeys(name for text in tokens.values() for name in _images(text))
    listed = [
        _read_list(file, list(names), collector)
        for folder in dict.fromkeys(file.parent for file in files)
        for file in _lists(folder)
    ]
    for file, text in tokens.items():
        _read_captions(file, text, any(listed), collector)


def _images(text: Text) -> Iterator[str]:
    for _, line in text.good():
        if found := _LINE.fullmatch(line):
            yield found["image"]


def _lists(folder: Path) -> list[Path]:
    lists = [file for file in visible_files(folder) if file.suffix.lower() == ".txt"]
    named = [(file, split_in_name(file.stem)) for file in lists if not _is_tokens(file)]
    order = {file: STANDARD.index(split) for file, split in named if split is not None}
    return sorted(order, key=order.__getitem__)


def _read_list(file: Path, names: Sequence[str], collector: Collector) -> int:
    """Reads the images of a split, given as in the token file or without suffix; counts them."""
    by_stem: dict[str, dict[Path, str]] = {}
    for name in names:
        by_stem.setdefault(Path(name).stem, {}).setdefault(Path(name), name)
    count = 0
    for number, line in read_text(file, collector).good():
        name, where = line.strip(), Place(str(file), number)
        count += 1
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            fitting = list(by_stem.get(name, {}).values()) or [f"{name}.jpg"]
            if len(fitting) > 1:
                message = f"{name} may be {' or '.join(fitting)}: write the whole name"
                collector.report("colliding-keys", message, where)
                continue
            [name] = fitting
        collector.image(name, where, split_in_name(file.stem))
    return count


def _read_captions(file: Path, text: Text, listed: bool, collector: Collector) -> None:
    unlisted: dict[str, int] = {}
    numbered: dict[tuple[str, str], tuple[Place, str]] = {}
    for line_number, line in text.good():
        where = Place(str(file), line_number)
        found = _LINE.fullmatch(line)
        if found is None:
            message = f"expected NAME.jpg#K<TAB>sentence, found {quote(line)}"
            collector.report("malformed-row", message, where)
        elif listed and not collector.knows(found["image"], where):
            unlisted.setdefault(found["image"], line_number)
        else:
            image, number, caption = found.groups()
            first, other = numbered.setdefault((image, number), (where, caption))
            if caption != other:
                message = f"{image}#{number} stands {first.seen_from(where)} too, with another "
                message += "caption: both are used"
                collector.report("repeated-key", message, where, image)
            collector.caption(image, caption, where)
    if unlisted:
        image, number = next(iter(unlisted.items()))
        count = "1 image is" if len(unlisted) == 1 else f"{len(unlisted)} images are"
        message = f"{count} in no split list, so left out, captions and all; the first is {image}"
        collector.report("unlisted-images", message, Place(str(file), number), image)


def _is_tokens(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith((".token", ".token.txt")) and ".lemma." not in name
