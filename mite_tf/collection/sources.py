"""What there is to embed, in a fixed order: pictures, texts, and pictures with their texts."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import NamedTuple

from mite_tf.collection.containers import (
    Inside,
    holds_pictures,
    pictures_of_parquet,
    pictures_of_tar,
)
from mite_tf.collection.places import absolute, found, is_url, place_of
from mite_tf.collection.tables import SUFFIXES, rows_of
from mite_tf.errors import MiteError
from mite_tf.image_headers import IMAGE_SUFFIXES


class Item(NamedTuple):
    """A picture, a text, or a picture with its texts.

    Attributes:
        id: Unique in the collection: the relative path of a picture, file and line of a text.
        picture: What opens the picture again (`read_picture`): an absolute path, a URL, or
            `tar!member` and `parquet!row` of one of these.
        texts: The text, or those of the picture.
        start: First byte of a picture in a tar, or its row in a Parquet file.
        size: Its bytes in a tar.
        fault: Why it cannot be embedded, if that is known already.

    Example:
        >>> Item("captions.txt:7", texts=("a dog",)).picture is None
        True
    """

    id: str
    picture: str | None = None
    texts: tuple[str, ...] = ()
    start: int | None = None
    size: int | None = None
    fault: str | None = None


def items_of(images: Sequence[str], texts: Sequence[str]) -> Iterator[Item]:
    r"""Yields all that the sources hold: the pictures, then the texts, each id once.

    Args:
        images: Folders, patterns, pictures, lists of these, tars and Parquet files, as `absolute`
            gives them.
        texts: Files with a text a line or a row.

    Raises:
        MiteError: If a source is missing or holds nothing, or two things would have one id.

    Example:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile("w", suffix=".txt")
        >>> _ = file.write("a dog\n\na cat"), file.flush()
        >>> [(item.id.rpartition(":")[2], item.texts) for item in items_of([], [file.name])]
        [('1', ('a dog',)), ('3', ('a cat',))]
    """
    seen: dict[str, str | None] = {}
    for item in chain(chain.from_iterable(map(_pictures, images)), *map(_texts, texts)):
        if item.id not in seen:
            seen[item.id] = item.picture
            yield _encodable(item)
        elif item.picture is None or item.picture != seen[item.id]:
            raise MiteError(
                f"{item.id}: stands for two things in these sources. Name a folder that holds both "
                "pictures, give files of texts other names, or embed into two folders."
            )


def _encodable(item: Item) -> Item:
    try:
        "".join([item.id, item.picture or "", *item.texts]).encode()
    except UnicodeEncodeError:
        name = item.id.encode("utf-8", "backslashreplace").decode()
        return Item(name, fault="its name or text is not UTF-8")
    return item


def _pictures(source: str) -> Iterator[Item]:
    empty = True
    for item in _of_source(source):
        yield item
        empty = False
    if empty:
        raise MiteError(
            f"{source}: holds no picture: nothing there ends in .jpg, .png, .gif, .bmp or .webp, "
            "or is a .tar or .parquet with pictures."
        )


def _of_source(source: str) -> Iterator[Item]:
    if place_of(source) != "file":
        yield from chain.from_iterable(_in_file(*each) for each in found(source))
        return
    suffix = PurePosixPath(source).suffix.lower()
    name = posixpath.basename(source)
    if suffix == ".parquet" and not holds_pictures(source):
        yield from _listed(source)
    elif suffix in IMAGE_SUFFIXES or suffix in _CONTAINERS:
        yield from _in_file(source, name)
    elif suffix in SUFFIXES:
        yield from _listed(source)
    else:
        raise MiteError(
            f"{source}: is neither a picture nor a list of pictures. Name a folder, a picture, a "
            f".tar, or a list that ends in {', '.join(SUFFIXES)}."
        )


def _in_file(path: str, name: str) -> Iterator[Item]:
    """The picture that a file is, or those in it."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        yield Item(name, path)
        return
    try:
        if suffix == ".tar" or (suffix == ".parquet" and holds_pictures(path)):
            for each in _CONTAINERS[suffix](path):
                if each.fault:
                    yield Item(name, fault=each.fault)
                else:
                    inner, whole = f"{name}/{each.name}", f"{path}!{each.name}"
                    yield Item(inner, whole, each.texts, each.start, each.size)
    except MiteError as error:
        yield Item(name, fault=str(error))


_CONTAINERS: dict[str, Callable[[str], Iterator[Inside]]] = {
    ".tar": pictures_of_tar,
    ".parquet": pictures_of_parquet,
}


def _listed(source: str) -> Iterator[Item]:
    """The pictures of a list; several rows of one picture join."""
    folder, _, name = source.rpartition("/")
    pictures: dict[str, list[str]] = {}
    for row in rows_of(source, "picture"):
        if row.fault or row.picture is None:
            yield Item(f"{name}:{row.number}", fault=row.fault)
        else:
            key = row.picture if is_url(row.picture) else posixpath.normpath(row.picture)
            pictures.setdefault(key, []).extend(row.texts)
    if not pictures:
        raise MiteError(f"{source}: names no picture.")
    for key, texts in pictures.items():
        path = absolute(key) if is_url(key) else posixpath.join(folder, key)
        yield Item(key, path, tuple(dict.fromkeys(texts)))


def _texts(source: str) -> Iterator[Item]:
    if place_of(source) != "file":
        raise MiteError(f"{source}: is no file. Name files that hold a text on each line.")
    name, empty = posixpath.basename(source), True
    for row in rows_of(source, "text"):
        yield Item(f"{name}:{row.number}", texts=row.texts, fault=row.fault)
        empty = False
    if empty:
        raise MiteError(f"{source}: holds no text.")
