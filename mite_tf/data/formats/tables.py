"""CSV and TSV with the columns `image`, `caption` and, if there are splits, `split`."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mite_tf.data.collector import Collector
from mite_tf.data.formats.source_files import Text, read_text
from mite_tf.data.problem import Place, quote
from mite_tf.data.splits import split_in_name

_NEEDED = frozenset({"image", "caption"})


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
    files = [path] if path.is_file() else sorted(path.iterdir())
    return [
        file
        for file in files
        if (file.suffix.lower() in suffixes or file.name == "captions.txt")
        and file.is_file()
        and _delimiter(_first_line(file), delimiters) is not None
    ]


def read_tables(files: Sequence[Path], collector: Collector, delimiters: str) -> None:
    """Reads tables; several rows of one image join.

    Comma-separated files follow RFC 4180. In tab-separated files a line is a row, and quotes are
    taken away only where they are well-formed. A file without the column `split` whose name ends
    in a split, such as `train.csv`, is of that split.
    """
    for file in files:
        text = read_text(file, collector)
        if text.lines:
            _read_table(file, text, collector, delimiters)


def _read_table(file: Path, text: Text, collector: Collector, delimiters: str) -> None:
    delimiter = _delimiter(text.lines[0], delimiters)
    if delimiter is None:
        found = quote(text.lines[0])
        message = f"the header must name the columns image and caption; it is {found}"
        collector.report("malformed-row", message, Place(str(file), 1))
        return
    columns = _columns(text.lines[0], delimiter)
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
            row = dict(zip(columns, record.cells, strict=True))
            split = row.get("split", split_in_name(file.stem))
            collector.caption(row["image"].strip(), row["caption"], where, split)


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


def _delimiter(header: str, delimiters: str) -> str | None:
    return next((d for d in delimiters if set(_columns(header, d)) >= _NEEDED), None)


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            start = stream.readline(4096)
    except OSError:
        return ""
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # refused later, with the reason
    return start.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
