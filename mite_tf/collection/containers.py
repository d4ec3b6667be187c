"""Pictures in tars of webdataset and in Parquet files, with their captions."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from mite_tf.collection.places import opened, reaching, told
from mite_tf.collection.tables import text_columns, texts_in
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.files import is_hidden
from mite_tf.image_headers import IMAGE_SUFFIXES

_COLUMNS = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "webp")
_INSIDE = re.compile(r"(.+\.(?:tar|parquet))!(.+)", re.IGNORECASE | re.DOTALL)
_ROWS = 32  # of a Parquet file that are read at once
_LONGEST = 1 << 16  # bytes of a caption


class Inside(NamedTuple):
    """A picture in a container: its name there, captions, and where it lies.

    In a tar these are its first byte and its bytes, in a Parquet file its row. `fault` tells what
    is wrong with the container from there on.

    Example:
        >>> Inside("a.jpg", ("a dog",), 512, 1000).size
        1000
    """

    name: str
    texts: tuple[str, ...] = ()
    start: int = 0
    size: int | None = None
    fault: str | None = None


def split(path: str) -> tuple[str, str] | None:
    """Returns the container and the name in it that a path of a picture means; None if it has none.

    Example:
        >>> split("/data/00.tar!7.jpg"), split("/data/wow!.jpg")
        (('/data/00.tar', '7.jpg'), None)
    """
    parts = _INSIDE.fullmatch(path)
    return None if parts is None else (parts[1], parts[2])


def pictures_of_tar(path: str) -> Iterator[Inside]:
    """Yields the pictures of a tar in order, each with the `.txt` of its key as its caption.

    Raises:
        MiteError: If it cannot be reached.
    """
    pictures: dict[str, tuple[int, int]] = {}
    texts: dict[str, tuple[str, ...]] = {}
    fault = None
    with reaching(path), opened(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    place = PurePosixPath(member.name)
                    if not member.isreg() or any(map(is_hidden, place.parts)):
                        continue
                    if place.suffix.lower() in IMAGE_SUFFIXES:
                        pictures[member.name] = member.offset_data, member.size
                    elif place.suffix.lower() == ".txt" and (text := tar.extractfile(member)):
                        data = text.read(_LONGEST).decode("utf-8-sig", "surrogateescape")
                        texts[_key(member.name)] = texts_in(" ".join(data.split()))
        except (tarfile.TarError, EOFError, ValueError) as error:
            fault = f"is no whole tar: {told(error)}"
    for name, (start, size) in pictures.items():
        yield Inside(name, texts.get(_key(name), ()), start, size)
    if fault:
        yield Inside("", fault=fault)


def _key(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"  # webdataset's rule


def pictures_of_parquet(path: str) -> Iterator[Inside]:
    """Yields the rows of a Parquet file that holds the bytes of pictures, with their captions.

    Raises:
        MiteError: If it cannot be read.
    """
    with reaching(path), _table(path) as table:
        columns, row = text_columns(table.schema_arrow.names), 0
        if not columns:
            yield from (Inside(str(row), start=row) for row in range(table.metadata.num_rows))
            return
        for batch in table.iter_batches(columns=columns):
            for value in batch.to_pylist():
                texts = tuple(text for name in columns for text in texts_in(value[name]))
                yield Inside(str(row), texts, start=row)
                row += 1


def holds_pictures(path: str) -> bool:
    """Returns whether a Parquet file has a column of bytes of pictures.

    It may be of plain bytes, or of `{"bytes", "path"}` as in data sets of Hugging Face.

    Raises:
        MiteError: If it cannot be read.
    """
    with reaching(path), _table(path) as table:
        return _picture_column(table.schema_arrow) is not None


def parquet_rows(path: str, rows: Sequence[int]) -> Iterator[bytes | MiteError]:
    """Yields the bytes of these rows of a Parquet file, which ascend, or why there are none.

    Raises:
        MiteError: If the file cannot be reached.
    """
    wanted, number = iter(rows), 0
    row = next(wanted, None)
    fault = "holds no picture"
    with reaching(path), _table(path) as table:
        column = _picture_column(table.schema_arrow)
        for group in range(table.metadata.num_row_groups):
            end = number + table.metadata.row_group(group).num_rows
            if row is not None and row < end and column is not None:
                try:
                    batches = table.iter_batches(_ROWS, row_groups=[group], columns=[column])
                    for batch in batches:
                        while row is not None and row < number + len(batch):
                            value = batch.column(0)[row - number].as_py()
                            value = value.get("bytes") if isinstance(value, dict) else value
                            yield value or MiteError(fault)
                            row = next(wanted, None)
                        number += len(batch)
                except (OSError, ValueError) as error:  # pyarrow's errors are among these
                    fault = f"cannot be read: {told(error)}"
                    while row is not None and row < end:
                        yield MiteError(fault)
                        row = next(wanted, None)
            number = end
    while row is not None:
        yield MiteError("is not in the file any more")
        row = next(wanted, None)


@lru_cache(8)
def places_in_tar(path: str) -> dict[str, tuple[int, int]]:
    """Returns first byte and size of each picture of a tar; it is remembered.

    Raises:
        MiteError: If it cannot be reached.
    """
    return {each.name: (each.start, each.size or 0) for each in pictures_of_tar(path)}


@contextmanager
def _table(path: str) -> Iterator[Any]:
    with from_extra("search", path):
        import pyarrow.parquet
    with opened(path) as file, pyarrow.parquet.ParquetFile(file) as table:
        yield table


def _picture_column(schema: Any) -> str | None:
    import pyarrow.types as types

    names = {name.lower(): name for name in schema.names}
    for name in (names[each] for each in _COLUMNS if each in names):
        kind = schema.field(name).type
        if types.is_struct(kind):
            at = kind.get_field_index("bytes")
            kind = kind.field(at).type if at >= 0 else kind
        if types.is_binary(kind) or types.is_large_binary(kind):
            return str(name)
    return None
