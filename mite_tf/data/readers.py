"""Reading captioned images, whatever way they are written down."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.collector import Collector
from mite_tf.data.formats import json_files
from mite_tf.data.formats.flickr import find_tokens, read_tokens
from mite_tf.data.formats.folder import find_pairs, read_pairs
from mite_tf.data.formats.source_files import keys_of, parse_json, visible_files
from mite_tf.data.formats.tables import find_tables, read_tables
from mite_tf.data.problem import counted, quote
from mite_tf.errors import MiteError
from mite_tf.files import is_hidden, refuse_pointer
from mite_tf.reading import must_be_file
from mite_tf.recognition import recognize, wrong_kind

_CONTENT = (".csv", ".tsv", ".txt", ".json")
_MOST_SHOWN = 2**22  # bytes of a file that are looked into for the message about it


class _Format(NamedTuple):
    looks_for: str  # what `find` looks for, for error messages
    find: Callable[[Path], list[Path]]  # the files that hold the captions, if any
    read: Callable[[Sequence[Path], Collector], None]  # a bad row becomes a problem, no error


_FORMATS = {
    "flickr": _Format(
        "*.token.txt or *.token, with *train*.txt, *dev*.txt or *val*.txt, *test*.txt lists",
        find_tokens,
        read_tokens,
    ),
    "karpathy": _Format(
        "dataset_*.json with images[] that hold filename, split and sentences[].raw",
        partial(json_files.find_documents, prefix="dataset", key=b'"sentences"'),
        json_files.read_karpathy,
    ),
    "coco": _Format(
        "captions_*.json, also in annotations/, with images[] and annotations[].caption",
        partial(
            json_files.find_documents,
            prefix="captions_",
            key=b'"caption"',
            folders=("", "annotations"),
        ),
        json_files.read_coco,
    ),
    "csv": _Format(
        "*.csv or captions.txt whose header names the columns image, caption [, split]",
        partial(find_tables, suffixes=(".csv",), delimiters=",;"),
        partial(read_tables, delimiters=",;"),
    ),
    "tsv": _Format(
        "*.tsv whose header names the columns image, caption [, split]",
        partial(find_tables, suffixes=(".tsv",), delimiters="\t"),
        partial(read_tables, delimiters="\t"),
    ),
    "jsonl": _Format(
        "*.jsonl or *.ndjson with image, caption or captions, and split if there is one",
        json_files.find_json_lines,
        json_files.read_json_lines,
    ),
    "folder": _Format(
        "images with a text file of the same name beside each, one caption a line",
        find_pairs,
        read_pairs,
    ),
}


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> CaptionedImages:
    r"""Reads the captions and splits of a corpus; opens no image.

    A row that cannot be used is left out, and told with its place in the table's `problems`.
    Files and folders whose names start with `.` or `~$` are no data, unless they are named.

    Args:
        path: Folder of the corpus, or the file that holds its captions.
        format: `"flickr"`, `"karpathy"`, `"coco"`, `"csv"`, `"tsv"`, `"jsonl"` or `"folder"`;
            chosen by what lies at `path` when `None`. The last, text files beside images, is
            considered only where nothing else fits.
        root: Folder that image paths are relative to; found by looking below `path` when `None`.

    Returns:
        The usable rows. Where the source has no splits at all, each image gets one by hash of
        its id: 80 % train, 10 % dev, 10 % test, and one at least where there are three.

    Raises:
        MiteError: `path` does not exist, or fits no known format or more than one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = "image,caption,split\na.jpg,A dog runs.,train\na.jpg,Ein Hund.,train\n"
        ...     _ = Path(folder, "captions.csv").write_text(text)
        ...     read(folder).captions
        ['A dog runs.', 'Ein Hund.']
    """
    path = base = _expanded(path)
    collector_root = None if root is None else _expanded(root)
    try:
        if path.exists() and not path.is_dir():
            must_be_file(path)
            base = path.parent.parent if path.parent.name == "annotations" else path.parent
        collector = Collector(base, collector_root)
        name, files = _choose(path, format)
        _FORMATS[name].read(files, collector)
    except OSError as error:
        raise MiteError(f"{error.filename} cannot be read: {error.strerror}.") from error
    return CaptionedImages.from_collector(collector, name)


def _expanded(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # `~` and the name of nobody, which may be that of a folder
        return Path(path)


def _choose(path: Path, name: str | None) -> tuple[str, list[Path]]:
    """Returns the name of the format and the files to read."""
    if not path.exists():
        raise MiteError(f"{path} does not exist; give the folder or the caption file of a corpus.")
    if recognize(path).kind in ("run", "export", "study", "image", "model"):
        raise wrong_kind(path, "not captioned images", "Name the folder or the file of captions.")
    if name is not None:
        if name not in _FORMATS:
            raise MiteError(f"Unknown format {name!r}; known: {', '.join(_FORMATS)}.")
        files = _FORMATS[name].find(path)
        if path.is_file() and name != "folder":
            files = [path]
        if not files:
            raise MiteError(
                f"{path} holds no captions in the format {name}.\n"
                f"Looked for: {_FORMATS[name].looks_for}.\n{_listing(path)}"
            )
        return name, files
    found = [
        (each, files)
        for each, format in _FORMATS.items()
        if each != "folder" and (files := format.find(path))
    ]
    if not found and (files := _FORMATS["folder"].find(path)):
        return "folder", files
    if not found:
        looked = "\n".join(f"  {each:<9} {format.looks_for}" for each, format in _FORMATS.items())
        raise MiteError(
            f"Cannot tell how the captions in {path} are written.\nLooked for:\n{looked}\n"
            f"{_listing(path)}\nIf it is one of these, name it: format=... (--format ...)."
        )
    if len(found) > 1:
        told = ", ".join(f"{each} ({files[0].relative_to(path)})" for each, files in found)
        raise MiteError(
            f"{path} holds captions in {len(found)} formats: {told}. Choose one: "
            f"format={found[0][0]!r} (--format {found[0][0]})."
        )
    return found[0]


def _listing(path: Path) -> str:
    """Tells what is at a path, with the columns or keys of files that might have been captions.

    Raises:
        MiteError: One of these is a Git LFS pointer.
    """
    for file in visible_files(path) if path.is_dir() else [path]:
        if file.suffix.lower() in _CONTENT:
            refuse_pointer(file)
    if path.is_file():
        size = f"{path.stat().st_size} bytes"
        return f"Found: the file {path.name}, {', '.join([size, *_content(path)])}."
    entries = list(islice(path.iterdir(), 1000))
    shown = sorted(entry for entry in entries if not is_hidden(entry.name))
    names = [
        entry.name + "/" * entry.is_dir() + "".join(f" ({told})" for told in _content(entry))
        for entry in shown[:12]
    ]
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    nothing = "nothing, the folder is empty"
    if hidden := len(entries) - len(shown):
        nothing = (
            f"nothing but {counted(hidden, 'hidden file')}, which {'is' if hidden == 1 else 'are'} "
        )
        nothing += "never taken for data"
    return f"Found: {', '.join(names) or nothing}{more}."


def _content(file: Path) -> Iterator[str]:
    """Yields what a file holds: the header of a table, or the keys of JSON."""
    suffix = file.suffix.lower()
    if suffix not in _CONTENT or not file.is_file():
        return
    with file.open("rb") as stream:
        start = stream.read(_MOST_SHOWN)
    lines = start.decode("utf-8-sig", "replace").splitlines()
    if suffix == ".json":
        with suppress(ValueError, RecursionError):  # cut off, or broken: told by its name alone
            yield f"holds {keys_of(parse_json(start.decode('utf-8-sig')))}"
    elif lines and (suffix != ".txt" or file.name.lower() == "captions.txt"):
        yield f"its header is {quote(lines[0])}"
