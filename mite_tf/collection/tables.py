"""Lists of pictures and of texts: plain lines, JSON lines, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from mite_tf.collection.places import opened, reaching
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.files import GIT_LFS, is_pointer

PICTURES = ("image", "img", "path", "image_path", "file_name", "filename", "filepath", "url")
_TEXTS = re.compile(r"(captions?|texts?|sentences?)([ ._-]?\d+)?")
SUFFIXES = (".txt", ".lst", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


class Row(NamedTuple):
    """A line of a list: its number from 1, what it names, and what is wrong with it, if anything.

    Example:
        >>> Row(3, texts=("a dog",)).picture is None
        True
    """

    number: int
    picture: str | None = None
    texts: tuple[str, ...] = ()
    fault: str | None = None


def rows_of(path: str, plain: Literal["picture", "text"]) -> Iterator[Row]:
    r"""Yields the rows of a list of pictures or of texts.

    A line of `.txt` is one. Other files name columns, of which one of `PICTURES` holds the path of
    a picture and all like `caption`, `text`, `captions` or `caption_1` hold texts. What is not
    UTF-8 comes as half a surrogate pair. Blank lines are left out.

    Args:
        path: Path or URL.
        plain: What a plain line is, and what each row has to have.

    Raises:
        MiteError: If the file cannot be read, or has no such column.

    Example:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile("w", suffix=".csv")
        >>> _ = file.write("image,caption\na.jpg,a red square"), file.flush()
        >>> list(rows_of(file.name, "text"))
        [Row(number=2, picture='a.jpg', texts=('a red square',), fault=None)]
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise MiteError(f"{path}: is no list of {plain}s; these end in {', '.join(SUFFIXES)}.")
    with reaching(path):
        if suffix == ".parquet":
            yield from _parquet(path, plain)
            return
        with opened(path) as file:
            start = file.read(256)
            file.seek(0)
            if is_pointer(start):
                raise MiteError(f"{path}: is {GIT_LFS}.")
            if start.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise MiteError(f"{path}: is UTF-16. Save it as UTF-8.")
            newline = "" if suffix == ".csv" else None  # a quoted cell may hold several lines
            lines = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline)
            if suffix in (".jsonl", ".ndjson"):
                yield from _json(lines, plain)
            elif suffix in (".csv", ".tsv"):
                yield from _table(path, lines, plain, "," if suffix == ".csv" else "\t")
            else:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _plain(number, line.strip(), plain)


def _plain(number: int, value: str, plain: str) -> Row:
    return Row(number, value) if plain == "picture" else Row(number, None, (value,))


def _json(lines: Iterable[str], plain: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield Row(number, fault="is no JSON")
            continue
        if isinstance(value, str) and value.strip():
            yield _plain(number, value, plain)
        elif isinstance(value, dict):
            columns = {str(name).lower(): name for name in value}
            yield _row(number, value, _picture_column(columns), _text_columns(columns), plain)
        else:
            yield Row(number, fault="is no JSON object")


def _table(path: str, lines: Iterable[str], plain: str, delimiter: str) -> Iterator[Row]:
    records = _records(lines, delimiter)
    header = next(records, (1, []))[1]
    names = header if isinstance(header, list) else []
    columns: dict[str, int] = {}
    for at, name in enumerate(names):
        columns.setdefault(name.strip().lower(), at)
    picture, texts = _columns(path, columns, plain)
    for number, cells in records:
        if isinstance(cells, str):
            yield Row(number, fault=cells)
        elif len(cells) != len(names):
            yield Row(number, fault=f"has {len(cells)} cells, and the header {len(names)}")
        else:
            yield _row(number, cells, picture, texts, plain)


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yields the number of the first line of each row, and its cells or what is wrong with it."""
    if delimiter == "\t":  # a line is a row, and a quote is a letter
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line.rstrip("\r\n").split("\t")
        return
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"cannot be read: {error}"
            continue
        if cells:
            yield number, cells


def _parquet(path: str, plain: str) -> Iterator[Row]:
    with from_extra("search", path):
        import pyarrow.parquet
    with opened(path) as file, pyarrow.parquet.ParquetFile(file) as table:
        columns = {name.lower(): name for name in table.schema_arrow.names}
        picture, texts = _columns(path, columns, plain)
        number = 0
        for batch in table.iter_batches(columns=[each for each in (picture, *texts) if each]):
            for value in batch.to_pylist():
                number += 1
                yield _row(number, value, picture, texts, plain)


def text_columns(names: Iterable[str]) -> list[str]:
    """Returns the columns that hold texts, in their order.

    Example:
        >>> text_columns(["Caption_0", "image", "caption_1"])
        ['Caption_0', 'caption_1']
    """
    return _text_columns({name.lower(): name for name in names})


def texts_in(value: Any) -> tuple[str, ...]:
    """Returns the texts of a cell that holds one, a list of them, or nothing.

    Example:
        >>> texts_in(["a dog ", "", None]), texts_in(" "), texts_in(7)
        (('a dog',), (), ())
    """
    values = value if isinstance(value, list) else [value]
    return tuple(each.strip() for each in values if isinstance(each, str) and each.strip())


def _columns(path: str, columns: dict[str, Any], plain: str) -> tuple[Any, list[Any]]:
    picture, texts = _picture_column(columns), _text_columns(columns)
    if (picture if plain == "picture" else texts or None) is None:
        wanted = "image or path" if plain == "picture" else "caption or text"
        raise MiteError(f"{path}: has no column {wanted}; it has {', '.join(columns) or 'none'}.")
    return picture, texts


def _picture_column(columns: dict[str, Any]) -> Any:
    return next((columns[name] for name in PICTURES if name in columns), None)


def _text_columns(columns: dict[str, Any]) -> list[Any]:
    return [at for name, at in columns.items() if _TEXTS.fullmatch(name)]


def _row(number: int, value: Any, picture: Any, texts: list[Any], plain: str) -> Row:
    path = None if picture is None else value[picture]
    found = tuple(each for at in texts for each in texts_in(value[at]))
    if plain == "picture" and not (isinstance(path, str) and path.strip()):
        return Row(number, fault="names no picture")
    if plain == "text" and not found:
        return Row(number, fault="holds no text")
    return Row(number, path.strip() if isinstance(path, str) else None, found)
