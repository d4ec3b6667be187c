"""Inspecting image files: whether TensorFlow decodes them, and to what the eye sees."""

import errno
import stat
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mite_tf.image_files import decode
from mite_tf.image_headers import Header, ImageFileError

_DECODED = {"JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP"}  # MPO: a JPEG with further views in it
_MODES = {
    "1": "black and white",
    "L": "greyscale",
    "LA": "greyscale with transparency, which is dropped",
    "RGBA": "RGB with transparency, which is dropped",
    "P": "a palette image",
    "CMYK": "CMYK, whose colours may shift",
    "I;16": "16-bit greyscale",
}

# What the first bytes of a file tell about it.
_NOT_DECODED = {
    b"ftypavif": "AVIF",
    b"ftypheic": "HEIC",
    b"ftypheix": "HEIC",
    b"ftypmif1": "HEIF",
    b"\xff\n": "JPEG XL",
    b"\0\0\0\x0cjxl ": "JPEG XL",
    b"<svg": "SVG",
}
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
_OTHERS = {
    b"<!doctype html": "an HTML page, as failed downloads leave",
    b"<html": "an HTML page, as failed downloads leave",
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`",
}


class Fault(NamedTuple):
    """A problem, still without the image and the place it belongs to."""

    kind: str
    message: str


class Inspection(NamedTuple):
    """What an image file showed."""

    faults: tuple[Fault, ...] = ()
    digest: bytes | None = None  # SHA-256, of a file that was decoded to its end


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keeps Pillow, in the whole process, from warning and from judging sizes of images."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def inspect_image(path: Path) -> Inspection:
    """Looks an image file up and decodes it whole; never raises."""
    if fault := _look_up(path):
        return Inspection((fault,))
    try:
        with path.open("rb") as stream:
            return _inspect(stream)
    except Exception as error:  # a plug-in of Pillow may raise anything on a damaged file
        if isinstance(error, OSError) and error.errno:  # the disk, not the image
            return Inspection((Fault("unreadable-image", f"cannot be read: {error.strerror}"),))
        text = str(error) or type(error).__name__
        if "truncated" in text.lower():
            return Inspection((Fault("truncated-image", f"is truncated: {text}"),))
        return Inspection((Fault("unreadable-image", f"is damaged: {text}"),))


def _look_up(path: Path) -> Fault | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in the name
        return Fault("missing-image", f"is missing: there is {_absence(path)}")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return Fault("missing-image", f"is missing: {error.strerror}")
        if error.errno == errno.ELOOP:
            return Fault("symlink-loop", "is a symbolic link that leads back to itself")
        return Fault("unreadable-image", f"cannot be read: {error.strerror}")
    if stat.S_ISDIR(status.st_mode):
        return Fault("image-is-directory", "is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        return Fault("unreadable-image", "is a device or a pipe, not a file")
    if status.st_size == 0:
        return Fault("empty-file", "is empty: 0 bytes")
    return None


def _absence(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"a link to {path.readlink()}, which does not exist"
    similar = None  # a file whose name differs in slashes, case or the form of its accents only
    with suppress(OSError, ValueError):
        similar = _names(path.parent, path.parent.stat().st_mtime_ns).get(_fold(path.name))
        slashed = path.name.replace("\\", "/")
        if slashed != path.name and (path.parent / slashed).exists():
            similar = slashed
    return f"no file {path}" + (f"; is {similar} meant?" if similar else "")


@lru_cache(maxsize=8)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Lists a folder; `changed`, its time of change, keeps an old listing from being used."""
    return {_fold(entry.name): entry.name for entry in folder.iterdir()}


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _inspect(stream: BufferedReader) -> Inspection:
    head = stream.read(512)
    faults = []
    try:
        with Image.open(stream) as image:
            if refusal := _refuse(image):
                return Inspection((refusal,))
            if image.mode != "RGB":
                mode = _MODES.get(image.mode, f"of mode {image.mode}")
                faults.append(Fault("non-rgb", f"is {mode}: it is converted to RGB"))
    except Exception as error:
        if not head.startswith(_IMAGES):
            if not isinstance(error, Image.UnidentifiedImageError):
                raise
            return Inspection((_unidentified(head),))
    stream.seek(0)
    data = stream.read()
    try:
        decode(data)
    except ImageFileError as error:
        return Inspection((Fault(error.kind, str(error)),))
    return Inspection(tuple(faults), sha256(data).digest())


def _refuse(image: Image.Image) -> Fault | None:
    """Judges the header."""
    format = image.format
    try:
        Header(*image.size).check()
    except ImageFileError as error:
        return Fault(error.kind, str(error))
    if format not in _DECODED:
        return _undecoded(str(format))
    animated = False
    with suppress(Exception):  # a second frame that is damaged is none
        animated = format != "MPO" and getattr(image, "is_animated", False)
    if animated:
        message = f"is animated ({format}): keep one frame of it as JPEG or PNG"
        return Fault("animated-image", message)
    return None


def _undecoded(type: str) -> Fault:
    message = f"is {type}, which TensorFlow does not decode: convert it to JPEG or PNG"
    return Fault("unsupported-type", message)


def _unidentified(head: bytes) -> Fault:
    """Tells from its first bytes what a file is that Pillow does not recognise."""
    start = head.lstrip().lower()
    for magic, name in _NOT_DECODED.items():
        if start.startswith(magic) or head[4:12] == magic:
            return _undecoded(name)
    if start.startswith(b"<?xml") and b"<svg" in start:
        return _undecoded("SVG")
    what = f"is not an image: it starts with {head[:12]!r}"
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            what = f"is not an image but {name}"
    return Fault("unreadable-image", what)
