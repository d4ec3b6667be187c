"""Flickr8k and Flickr30k: a token file, and lists that name the images of each split."""

import re
from collections.abc import Sequence
from pathlib import Path

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import IMAGE_SUFFIXES, read_text
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import STANDARD, split_in_name

_LINE = re.compile(r"(?P<image>.+?)#\d+\t(?P<caption>.*)", re.DOTALL)


def find_tokens(path: Path) -> list[Path]:
    """Finds the token files, but not the lemmatised ones, in a folder or one level below it."""
    if path.is_file():
        return [path] if _is_tokens(path) else []
    here = [file for file in sorted(path.glob("*.token*")) if _is_tokens(file)]
    return here or [file for file in sorted(path.glob("*/*.token*")) if _is_tokens(file)]


def read_tokens(files: Sequence[Path], collector: Collector) -> None:
    """Reads lines `NAME.jpg#K<TAB>sentence` and the split lists that lie beside them.

    Where there are lists, captions of an image that none of them names are left out, with one
    note: the original Flickr8k token file holds such lines.
    """
    listed: set[str] = set()
    for folder in dict.fromkeys(file.parent for file in files):
        listed |= _read_lists(folder, collector)
    for file in files:
        _read_captions(file, listed, collector)


def _read_lists(folder: Path, collector: Collector) -> set[str]:
    lists = [(file, split_in_name(file.stem)) for file in sorted(folder.glob("*.txt"))]
    named = [(file, split) for file, split in lists if split is not None]
    names = set()
    for file, split in sorted(named, key=lambda pair: STANDARD.index(pair[1])):
        for number, line in read_text(file, collector).good():
            name = line.strip()
            if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
                name += ".jpg"  # Flickr30k's lists are also handed about with bare ids
            names.add(name)
            collector.image(name, Place(str(file), number), split)
    return names


def _read_captions(file: Path, listed: set[str], collector: Collector) -> None:
    unlisted: dict[str, int] = {}
    for number, line in read_text(file, collector).good():
        where = Place(str(file), number)
        found = _LINE.fullmatch(line)
        if found is None:
            message = f"expected NAME.jpg#K<TAB>sentence, found {quote(line)}"
            collector.report("malformed-row", message, where)
        elif listed and found["image"] not in listed:
            unlisted.setdefault(found["image"], number)
        else:
            collector.caption(found["image"], found["caption"], where)
    if unlisted:
        image, number = next(iter(unlisted.items()))
        count = "1 image is" if len(unlisted) == 1 else f"{len(unlisted)} images are"
        message = f"{count} in no split list, so left out, captions and all; the first is {image}"
        collector.report("unlisted-images", message, Place(str(file), number), image)


def _is_tokens(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith((".token", ".token.txt")) and ".lemma." not in name
