"""The bytes of pictures, wherever they lie, read ahead by several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from mite_tf.collection.containers import parquet_rows, places_in_tar, split
from mite_tf.collection.places import is_url, opened, reaching, told
from mite_tf.collection.sources import Item
from mite_tf.errors import MiteError
from mite_tf.files import GIT_LFS, is_pointer

_MOST = 1 << 29  # bytes: more than 64 million pixels take uncompressed
_AHEAD = 16  # pictures that are read before they are wanted: of the largest cameras, 500 MB
_T = TypeVar("_T")
_R = TypeVar("_R")


def read_picture(path: str) -> bytes:
    """Reads the file of a picture by what stands in the rows of its embedding.

    Args:
        path: A path, a URL, or `tar!member` and `parquet!row` of one of these.

    Raises:
        MiteError: If it cannot be read.

    Example:
        >>> read_picture("/nowhere/00.tar!7.jpg")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: /nowhere/00.tar: cannot be read: No such file or directory.
    """
    item = Item(path, path)
    if inside := split(path):
        container, name = inside
        start, size = int(name) if name.isdecimal() else 0, None
        if container.lower().endswith(".tar"):
            places = places_in_tar(container)
            if name not in places:
                raise MiteError(f"{path}: is not in the tar any more.")
            start, size = places[name]
        item = Item(path, path, start=start, size=size)
    [(_, data)] = contents([item], None)
    if isinstance(data, MiteError):
        raise MiteError(f"{path}: {data}.")
    return data


def thumbnail(path: str | Path, side: int = 320) -> str:
    """Returns the picture at a path of an index, made small, as a `data:` address.

    It is empty where the file is gone or no picture.

    Example:
        >>> thumbnail("/nowhere/00.tar!7.jpg")
        ''
    """
    from mite_tf.reports.pages import thumbnail_of

    try:
        return thumbnail_of(read_picture(str(path)), side)
    except (MiteError, OSError):
        return ""


def contents(
    items: Iterable[Item], readers: Executor | None
) -> Iterator[tuple[Item, bytes | MiteError]]:
    """Yields pictures in order with their bytes, or with why there are none.

    Args:
        items: Pictures.
        readers: Threads that read ahead; none by default.

    Raises:
        MiteError: If what lies behind a URL does not answer: that is no fault of the picture.
    """
    for table, group in groupby(items, _table_of):
        if table is not None:
            rows = list(group)
            read = parquet_rows(table, [item.start or 0 for item in rows])
            yield from zip(rows, read, strict=True)
        elif readers is None:
            yield from map(_content, group)
        else:
            yield from ahead(readers, _content, group, _AHEAD)


def ahead(
    threads: Executor, function: Callable[[_T], _R], values: Iterable[_T], most: int
) -> Iterator[_R]:
    """Yields `function` of each value in order; at most so many are computed ahead.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as threads:
        ...     list(ahead(threads, abs, [-3, 2, -1], 2))
        [3, 2, 1]
    """
    waiting: deque[Future[_R]] = deque()
    for value in values:
        waiting.append(threads.submit(function, value))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _table_of(item: Item) -> str | None:
    """The Parquet file that a picture lies in."""
    inside = split(item.picture or "") if item.start is not None and item.size is None else None
    return inside and inside[0]


def _content(item: Item) -> tuple[Item, bytes | MiteError]:
    path = item.picture or ""
    if item.start is not None and (inside := split(path)):
        path = inside[0]
    try:
        with opened(path) as file:
            if item.start is not None:
                file.seek(item.start)
            most = _MOST + 1 if item.size is None else min(item.size, _MOST + 1)
            data = file.read(most)
    except MiteError:
        raise
    except Exception as error:  # libraries behind URLs have classes of their own
        if is_url(path) and not isinstance(error, FileNotFoundError | PermissionError):
            with reaching(path):
                raise
        return item, MiteError(f"cannot be read: {told(error)}")
    if not data:
        return item, MiteError("is empty")
    if len(data) > _MOST:
        return item, MiteError(f"has more than {_MOST >> 20} MiB, as no picture has")
    return item, MiteError(f"is {GIT_LFS}") if is_pointer(data[:100]) else data
