"""Inspecting image files: whether TensorFlow decodes them, and to what the eye sees."""

import errno
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from mite_tf.data.check_names import similar_file
from mite_tf.data.check_signatures import describe_start, is_whole, undecoded_type

MAX_PIXELS = 89_478_485  # where Pillow starts to warn: a quarter of a gigabyte of RGB

_DECODED = {"JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP"}  # MPO: a JPEG with further views in it
_BMP_MODES = {"L", "RGB", "RGBA"}  # TensorFlow takes the indexes of a palette for grey values
_MODES = {
    "1": "black and white",
    "L": "greyscale",
    "LA": "greyscale with transparency, which is dropped",
    "RGBA": "RGB with transparency, which is dropped",
    "P": "a palette image",
    "CMYK": "CMYK, whose colours may shift",
    "I;16": "16-bit greyscale",
}


class Fault(NamedTuple):
    """Kind and message of a problem, still without the image and the place it belongs to."""

    kind: str
    message: str


class Inspection(NamedTuple):
    """What an image file showed.

    Args:
        faults: What is wrong, if anything.
        digest: SHA-256 of the file; `None` if it was not decoded to its end.
    """

    faults: tuple[Fault, ...] = ()
    digest: bytes | None = None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keeps Pillow from warning and from judging sizes: `inspect_image` judges them itself.

    Both settings hold for the whole process, so this stands around a pool of threads, not in it.
    """
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def inspect_image(path: Path, *, decode: bool = True, max_pixels: int = MAX_PIXELS) -> Inspection:
    """Looks an image file up and decode it whole; never raises.

    Args:
        path: The file.
        decode: Whether to open it; else only its presence and size in bytes are judged.
        max_pixels: Width times height above which the file is refused by its header alone.

    Returns:
        Faults and digest.

    Example:
        >>> inspect_image(Path("no-such.jpg")).faults[0].message
        'is missing: there is no file no-such.jpg'
    """
    fault = _look_up(path)
    if fault is not None or not decode:
        return Inspection(() if fault is None else (fault,))
    try:
        with path.open("rb") as stream:
            return _inspect(stream, max_pixels)
    except Exception as error:  # a plug-in of Pillow may raise anything on a damaged file
        return Inspection((_damage(error),))


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
    similar = similar_file(path)
    return f"no file {path}" + (f"; is {similar} meant?" if similar else "")


def _inspect(stream: BufferedReader, max_pixels: int) -> Inspection:
    whole = is_whole(stream)
    stream.seek(0)
    head = stream.read(512)
    try:
        image = Image.open(stream)
    except OSError as error:
        if not whole:
            return Inspection((_cut(),))
        if not isinstance(error, Image.UnidentifiedImageError):
            raise
        return Inspection((_unidentified(head),))
    with image:
        refusal = _refuse(image, max_pixels) or (None if whole else _cut())
        if refusal is not None:
            return Inspection((refusal,))
        faults = []
        if image.mode != "RGB":
            mode = _MODES.get(image.mode, f"of mode {image.mode}")
            faults.append(Fault("non-rgb", f"is {mode}: it is converted to RGB"))
        image.load()
        faults += _rotation(image)
        if image.format == "PNG":
            _verify_checksums(stream)
    stream.seek(0)
    return Inspection(tuple(faults), file_digest(stream, "sha256").digest())


def _refuse(image: Image.Image, max_pixels: int) -> Fault | None:
    """Judges the header."""
    format, (width, height) = image.format, image.size
    if width * height > max_pixels:
        message = f"is gigantic: {width} x {height} pixels, more than {max_pixels} in all"
        return Fault("gigantic-image", message)
    if format not in _DECODED:
        return _undecoded(str(format))
    if format == "BMP" and image.mode not in _BMP_MODES:
        message = "is a BMP with a palette, which TensorFlow misreads: convert it to PNG"
        return Fault("unsupported-type", message)
    if format != "MPO" and getattr(image, "is_animated", False):
        message = f"is animated ({format}): keep one frame of it as JPEG or PNG"
        return Fault("animated-image", message)
    return None


def _rotation(image: Image.Image) -> list[Fault]:
    orientation = None
    with suppress(Exception):  # EXIF is often corrupt, and then nobody reads it
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    if orientation not in range(2, 9):
        return []
    message = (
        f"has EXIF orientation {orientation}, which training and serving ignore: "
        "turn the pixels, e.g. with PIL.ImageOps.exif_transpose"
    )
    return [Fault("exif-rotated", message)]


def _verify_checksums(stream: BufferedReader) -> None:
    """Raises where a checksum is wrong, which TensorFlow does not forgive and Pillow does."""
    stream.seek(0)
    with Image.open(stream) as image:
        image.verify()


def _damage(error: Exception) -> Fault:
    text = str(error) or type(error).__name__
    if "truncated" in text.lower():
        return Fault("truncated-image", f"is truncated: {text}")
    return Fault("unreadable-image", f"is damaged: {text}")


def _cut() -> Fault:
    return Fault("truncated-image", "is truncated: the end of the file is missing")


def _undecoded(type: str) -> Fault:
    message = f"is {type}, which TensorFlow does not decode: convert it to JPEG or PNG"
    return Fault("unsupported-type", message)


def _unidentified(head: bytes) -> Fault:
    type = undecoded_type(head)
    return _undecoded(type) if type else Fault("unreadable-image", describe_start(head))
