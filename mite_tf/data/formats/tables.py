"""CSV and TSV with the columns `image`, `caption` and, if there are splits, `split`."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mite_tf.data.collector import Collector, is_blank
from mite_tf.data.formats.source_files import Text, read_text, visible_files
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import split_in_name
from mite_tf.reading import must_be_file

# The columns that are read. pandas writes `image.1` for a second column image.
_ROLES = {
    "image": re.compile(r"image(\.\d+)?"),
    "caption": re.compile(r"captions?([ ._-]?\d+)?"),  # any number of them, numbered or not
    "split": re.compile(r"split(\.\d+)?"),
}
_LIST = re.compile(r"""\[\s*(['"]).*\1\s*\]""", re.DOTALL)


class _Record(NamedTuple):
    first: int  # its first line, from 1
    last: int
    cells: list[str] | csv.Error


def find_tables(path: Path, suffixes: tuple[str, ...], delimiters: str) -> list[Path]:
    """Finds tables of a suffix, or `captions.txt`, whose header names `image` and `caption`.

    Of a file that is itself given, the suffix alone decides.
    """
    if path.is_file() and path.suffix.lower() in suffixes:
        return [path]
    files = [path] if path.is_file() else visible_files(path)
    tables = [file for file in files if file.suffix.lower() in suffixes]
    texts = [file for file in files if file.name.lower() == "captions.txt"]
    good = {
        file for file in (*tables, *texts) if _delimiter(_first_line(file), delimiters) is not None
    }
    # With a good table the others come along, for the reader to say why it does not use them.
    return [file for file in files if file in good or (good and file in tables)]


def read_tables(files: Sequence[Path], collector: Collector, delimiters: str) -> None:
    """Reads tables; several rows of one image join, and several columns of captions.

    Comma-separated files follow RFC 4180. In tab-separated files a line is a row, and quotes are
    taken away only where they are well-formed. A file without the column `split` whose name ends
    in a split, such as `train.csv`, is of that split.
    """
    for file in files:
        text = read_text(file, collector)
        if text.lines:
            unknown = "malformed-row" if len(files) == 1 else "unread-file"
            _read_table(file, text, collector, delimiters, unknown)


def _read_table(
    file: Path, text: Text, collector: Collector, delimiters: str, unknown: str
) -> None:
    delimiter = _delimiter(text.lines[0], delimiters)
    if delimiter is None:
        found = quote(text.lines[0])
        message = f"the header must name the columns image and caption; it is {found}"
        if unknown == "unread-file":
            message = f"is not read: {message}"
        collector.report(unknown, message, Place(str(file), 1))
        return
    columns = _columns(text.lines[0], delimiter)
    roles = _roles(columns)
    for role in ("image", "split"):
        if len(roles[role]) > 1:
            told = _told(columns, roles[role])
            message = f"the header names the column {role} more than once: {told}; keep one"
            collector.report("colliding-keys", message, Place(str(file), 1))
            return
    if len(roles["caption"]) > 1:
        told = _told(columns, roles["caption"])
        message = f"the columns {told} all hold captions: all are used"
        collector.report("joined-captions", message, Place(str(file), 1))
    records = _tab_records(text) if delimiter == "\t" else _csv_records(text, delimiter)
    for record in records:
        if not text.undecodable.isdisjoint(range(record.first, record.last + 1)):
            continue
        where = Place(str(file), record.first)
        if isinstance(record.cells, csv.Error):
            message = f"a row that starts here cannot be read: {record.cells}"
            collector.report("malformed-row", message, where)
        elif len(record.cells) != len(columns):
            message = f"{len(record.cells)} cells, but the header names {len(columns)} columns"
            if len(record.cells) > len(columns):
                message += f": quote a caption that holds {delimiter!r}"
            collector.report("malformed-row", message, where)
        else:
            image, split = (
                next((record.cells[at] for at in roles[role]), None) for role in ("image", "split")
            )
            if not roles["split"]:
                split = split_in_name(file.stem)
            name, captions = str(image).strip(), [record.cells[at] for at in roles["caption"]]
            for caption in [each for each in captions if not is_blank(each)] or captions[:1]:
                if _LIST.fullmatch(caption.strip()):
                    message = f"{name}: caption {quote(caption)} is a list: give each its own row"
                    collector.report("malformed-row", message, where, name)
                else:
                    collector.caption(name, caption, where, split)


def _told(columns: Sequence[str], places: Sequence[int]) -> str:
    return " and ".join(f"{columns[at]!r} (column {at + 1})" for at in places)


def _csv_records(text: Text, delimiter: str) -> Iterator[_Record]:
    """Yields the rows below the header; after a broken one, goes on with the next line."""
    start = 1
    while start < len(text.lines):
        feed = (f"{line}\n" for line in islice(text.lines, start, None))
        reader = csv.reader(feed, delimiter=delimiter, skipinitialspace=True, strict=True)
        first = start
        try:
            for cells in reader:
                last = start + reader.line_num
                if cells:
                    yield _Record(first + 1, last, cells)
                first = last
            return
        except csv.Error as error:
            yield _Record(first + 1, first + 1, error)
            start = first + 1


def _tab_records(text: Text) -> Iterator[_Record]:
    for number, line in text.good():
        if number > 1:
            try:
                cells = next(csv.reader([line], delimiter="\t", strict=True))
            except csv.Error:
                cells = line.split("\t")
            yield _Record(number, number, cells)


def _columns(header: str, delimiter: str) -> list[str]:
    with suppress(csv.Error):
        cells = next(csv.reader([header.strip("\r\n")], delimiter=delimiter), [])
        return [cell.strip().lower() for cell in cells]
    return []


def _roles(columns: Sequence[str]) -> dict[str, list[int]]:
    """Returns the positions of the columns of each role."""
    return {
        role: [at for at, name in enumerate(columns) if pattern.fullmatch(name)]
        for role, pattern in _ROLES.items()
    }


def _delimiter(header: str, delimiters: str) -> str | None:
    for delimiter in delimiters:
        roles = _roles(_columns(header, delimiter))
        if roles["image"] and roles["caption"]:
            return delimiter
    return None


def _first_line(file: Path) -> str:
    try:
        must_be_file(file)
        with file.open("rb") as stream:
            start = stream.readline(4096)
    except OSError:
        return ""
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # refused later, with the reason
    if utf16:
        return start.decode("utf-16", errors="ignore")  # which ends within a character
    return start.split(b"\r")[0].decode("utf-8-sig", errors="replace")
