"""Files here and behind URLs, found in a fixed order and opened alike."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mite_tf.errors import MiteError
from mite_tf.extras import EXTRAS, from_extra, require
from mite_tf.files import is_hidden
from mite_tf.reading import must_be_file

# Extras that bring what reads URLs of a scheme.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def is_url(path: str) -> bool:
    """Returns whether this is the name of something behind a URL.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("photos")
        (True, False)
    """
    return "://" in path


def absolute(source: str | Path) -> str:
    """Returns what names a file, a folder or a pattern from everywhere: an absolute path, or a URL.

    Example:
        >>> absolute("file:///photos/a.jpg"), absolute("s3://bucket/photos")
        ('/photos/a.jpg', 's3://bucket/photos')
    """
    text = os.fspath(source)
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    return text if is_url(text) else os.path.abspath(text)  # noqa: PTH100 (takes `..` out)


@contextmanager
def reaching(path: str) -> Iterator[None]:
    """Makes whatever goes wrong in the block one sentence about a file or a URL.

    Raises:
        MiteError: In place of every other exception: the libraries behind URLs have no class in
            common.

    Example:
        >>> with reaching("s3://bucket/photos"):
        ...     raise TimeoutError("no answer")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: s3://bucket/photos: cannot be read: no answer.
    """
    try:
        yield
    except MiteError:
        raise
    except Exception as error:
        raise MiteError(f"{path}: cannot be read: {told(error)}.") from error


def told(error: Exception) -> str:
    """Returns what an exception says, in a few words on one line.

    Example:
        >>> told(FileNotFoundError(2, "No such file or directory", "a.jpg"))
        'No such file or directory'
    """
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:200].rstrip(".")


def opened(path: str) -> IO[bytes]:
    """Opens a file or a URL to read bytes.

    Raises:
        MiteError: If nothing is installed that reads such URLs.
        OSError: If it cannot be opened, or is a pipe, which would be waited for.
        Exception: Whatever else the library behind a URL raises.
    """
    if not is_url(path):
        must_be_file(path)
        return Path(path).open("rb")
    files, inside = _filesystem(path)
    opened: IO[bytes] = files.open(inside, "rb")
    return opened


def place_of(source: str) -> Literal["file", "folder", "pattern"]:
    """Says what a path or a URL names.

    Raises:
        MiteError: If nothing is there, or cannot be looked at.

    Example:
        >>> place_of("/"), place_of("/nowhere/*.jpg")
        ('folder', 'pattern')
    """
    if is_url(source):
        files, inside = _filesystem(source)
        with reaching(source):
            folder, there = files.isdir(inside), files.exists(inside)
    else:
        folder, there = os.path.isdir(source), os.path.exists(source)  # noqa: PTH110, PTH112
    if there:
        return "folder" if folder else "file"
    if has_magic(source):
        return "pattern"
    raise MiteError(f"{source}: does not exist. Name a file, a folder or a pattern in quotes.")


def found(source: str) -> Iterator[tuple[str, str]]:
    """Yields the files of a folder, with all below, or of a pattern, in a fixed order.

    Hidden ones are left out (`mite_tf.files.is_hidden`); links to folders are followed.

    Yields:
        The path or URL of a file, and its name relative to the folder, or to the part of the
        pattern that is fixed.

    Raises:
        MiteError: If a folder cannot be read.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> Path(folder, "a.jpg").touch(), Path(folder, ".b.jpg").touch()
        (None, None)
        >>> [name for _, name in found(folder)], [name for _, name in found(f"{folder}/*.jpg")]
        (['a.jpg'], ['a.jpg'])
    """
    pattern = place_of(source) == "pattern"
    with reaching(source):
        if is_url(source):
            files, inside = _filesystem(source)
            found = files.glob(inside, detail=True) if pattern else files.find(inside, detail=True)
            below = sorted(path for path, each in found.items() if each["type"] == "file")
            full = [files.unstrip_protocol(path) for path in below]
        else:
            inside = source
            below = full = sorted(filter(os.path.isfile, glob(source, recursive=True)))  # noqa: PTH207
    if not pattern and not is_url(source):
        yield from ((path, Path(path).relative_to(source).as_posix()) for path in _walk(source))
        return
    root = _fixed(inside) if pattern else inside.rstrip("/")
    for path, whole in zip(below, full, strict=True):
        name = path[len(root) :].lstrip("/")
        if not any(map(is_hidden, name.split("/"))):
            yield whole, name


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    own = os.path.realpath(folder)
    if own in above:  # a link to a folder that it lies in
        return
    with reaching(folder), os.scandir(folder) as entries:
        visible = sorted(each.path for each in entries if not is_hidden(each.name))
    for path in visible:
        if os.path.isdir(path):  # noqa: PTH112 (which a link to itself does not stop)
            yield from _walk(path, (*above, own))
        else:
            yield path


def _fixed(pattern: str) -> str:
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:first])


def _filesystem(url: str) -> tuple[Any, str]:
    with from_extra("search", url):
        import fsspec.core
    if extra := _EXTRAS.get(url.partition("://")[0]):
        require(url, extra)
        # They tell in their logs, at length, what they raise as well.
        logging.getLogger(*EXTRAS[extra]).setLevel(logging.CRITICAL + 1)
    try:
        files, inside = fsspec.core.url_to_fs(url)
    except Exception as error:  # among others of a driver that is not installed, which it names
        raise MiteError(f"{url}: cannot be opened: {told(error)}.") from error
    return files, inside
