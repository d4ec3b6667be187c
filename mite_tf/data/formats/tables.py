"""CSV and TSV with the columns `image`, `caption` and, if there are splits, `split`."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mite_tf.data.check_problem import Place, quote
from mite_tf.data.formats.format import Format
from mite_tf.data.formats.gathering import Gathering
from mite_tf.data.formats.splits import split_in_name
from mite_tf.data.formats.text import Text, read_text

_NEEDED = frozenset({"image", "caption"})


class _Record(NamedTuple):
    first: int  # its first line, from 1
    last: int
    cells: list[str] | csv.Error


def find_tables(path: Path, suffixes: tuple[str, ...], delimiters: str) -> list[Path]:
    """Finds tables whose header names the columns `image` and `caption`.

    Args:
        path: Folder, or a file, of which the suffix alone decides.
        suffixes: Suffixes of files to look into; `captions.txt`, as Flickr8k is also about, is
            looked into too.
        delimiters: Characters that may stand between columns.

    Returns:
        The files.
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


def read_tables(files: Sequence[Path], gathering: Gathering, delimiters: str) -> None:
    """Reads tables; several rows of one image join.

    Comma-separated files follow RFC 4180: a cell that holds a comma, a quote or a line break
    stands in quotes. In tab-separated files a line is a row, and quotes are taken away only where
    they are well-formed.

    Args:
        files: Tables. One without the column `split` whose name ends in a split, such as
            `train.csv`, is of that split.
        gathering: Told of every caption and problem.
        delimiters: Characters that may stand between columns; the header decides.
    """
    for file in files:
        text = read_text(file, gathering)
        if text.lines:
            _read_table(file, text, gathering, delimiters)


def _read_table(file: Path, text: Text, gathering: Gathering, delimiters: str) -> None:
    delimiter = _delimiter(text.lines[0], delimiters)
    if delimiter is None:
        message = (
            f"the header must name the columns image and caption; it is {quote(text.lines[0])}"
        )
        gathering.report("malformed-row", message, Place(str(file), 1))
        return
    columns = _columns(text.lines[0], delimiter)
    records = _tab_records(text) if delimiter == "\t" else _csv_records(text, delimiter)
    for record in records:
        if not text.undecodable.isdisjoint(range(record.first, record.last + 1)):
            continue
        where = Place(str(file), record.first)
        if isinstance(record.cells, csv.Error):
            message = f"a row that starts here cannot be read: {record.cells}"
            gathering.report("malformed-row", message, where)
        elif len(record.cells) != len(columns):
            gathering.report("malformed-row", _miscounted(record.cells, columns, delimiter), where)
        else:
            row = dict(zip(columns, record.cells, strict=True))
            split = row.get("split", split_in_name(file.stem))
            gathering.caption(row["image"].strip(), row["caption"], where, split)


def _csv_records(text: Text, delimiter: str) -> Iterator[_Record]:
    """Yields the rows below the header; after a broken one, go on with the next line."""
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
            yield _Record(number, number, _tab_cells(line))


def _tab_cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return line.split("\t")


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


def _miscounted(cells: list[str], columns: list[str], delimiter: str) -> str:
    message = f"{len(cells)} cells, but the header names {len(columns)} columns"
    if len(cells) > len(columns):
        message += f": quote a caption that holds {delimiter!r}"
    return message


CSV = Format(
    name="csv",
    looks_for="*.csv or captions.txt whose header names the columns image, caption [, split]",
    find=partial(find_tables, suffixes=(".csv",), delimiters=",;"),
    read=partial(read_tables, delimiters=",;"),
)
TSV = Format(
    name="tsv",
    looks_for="*.tsv whose header names the columns image, caption [, split]",
    find=partial(find_tables, suffixes=(".tsv",), delimiters="\t"),
    read=partial(read_tables, delimiters="\t"),
)
