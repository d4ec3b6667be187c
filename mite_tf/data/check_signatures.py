"""What the first and the last bytes of a file tell about it."""

import struct
from typing import BinaryIO

_NOT_DECODED = {
    b"ftypavif": "AVIF",
    b"ftypheic": "HEIC",
    b"ftypheix": "HEIC",
    b"ftypmif1": "HEIF",
    b"\xff\n": "JPEG XL",
    b"\0\0\0\x0cjxl ": "JPEG XL",
    b"<svg": "SVG",
}
_IMAGES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
}
_OTHERS = {
    b"<!doctype html": "an HTML page, as failed downloads leave",
    b"<html": "an HTML page, as failed downloads leave",
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`",
}


def undecoded_type(head: bytes) -> str | None:
    r"""Name the image type of a file that neither Pillow nor TensorFlow opens.

    Args:
        head: First bytes of the file.

    Returns:
        The type, or `None` if it is none of those known.

    Example:
        >>> undecoded_type(b"\0\0\0\x18ftypheic"), undecoded_type(b"hello")
        ('HEIC', None)
    """
    start = head.lstrip().lower()
    for magic, name in _NOT_DECODED.items():
        if start.startswith(magic) or head[4:12] == magic:
            return name
    return "SVG" if start.startswith(b"<?xml") and b"<svg" in start else None


def describe_start(head: bytes) -> str:
    r"""Tell what a file seems to be that was not recognised as an image.

    Args:
        head: First bytes of the file.

    Returns:
        The end of a sentence whose subject is the file.

    Example:
        >>> describe_start(b"\x89PNG")
        'is damaged: it starts like a PNG, but its header cannot be read'
        >>> describe_start(b"A dog.")
        "is not an image: it starts with b'A dog.'"
    """
    for magic, name in _IMAGES.items():
        if head.startswith(magic):
            return f"is damaged: it starts like a {name}, but its header cannot be read"
    start = head.lstrip().lower()
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            return f"is not an image but {name}"
    return f"is not an image: it starts with {head[:12]!r}"


def is_whole(stream: BinaryIO) -> bool:
    """Looks for the end of a PNG, GIF or WebP, which TensorFlow needs and Pillow does without.

    Args:
        stream: The file; its position is moved.

    Returns:
        Whether the end is there; `True` for other types, whose decoders look for it themselves.

    Example:
        >>> import io
        >>> is_whole(io.BytesIO(b"GIF89a...;")), is_whole(io.BytesIO(b"GIF89a..."))
        (True, False)
    """
    stream.seek(0)
    head = stream.read(8)
    size = stream.seek(0, 2)
    if head.startswith(b"RIFF") and len(head) == 8:
        return size >= struct.unpack("<I", head[4:])[0] + 8
    stream.seek(max(0, size - 65_536))
    if head.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" in stream.read()
    if head.startswith(b"GIF8"):
        return stream.read().rstrip(b"\0").endswith(b";")
    return True
