"""Image files to pixels with NumPy and Pillow: what the graph decodes and nothing else.

TensorFlow and Pillow disagree on some files. Here its rules are kept, so that one file has one
verdict, in the check, in training, in every export and in every server.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile

from mite_tf.errors import MiteError
from mite_tf.orientation import MOST_STEPS

# What the graph reads. Pillow knows more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
# Sizes of the header that tell a BMP's kind; the first 40 bytes are the same in all of these.
BMP_HEADERS = (40, 52, 56, 64, 108, 124)
BMP_MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)  # blue, green, red and alpha in this order
BMP_REFUSED = (
    "is a BMP of a kind that TensorFlow misreads: only 8, 24 or 32 bits a pixel, uncompressed, "
    "with a Windows header are read; convert it to PNG"
)
GIF_REFUSED = "is a GIF whose first frame does not fill the picture, or damaged: convert it to PNG"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its colour type


class ImageFileError(MiteError):
    """An image file that cannot be decoded: its kind, as in `mite_tf.data.Problem`, and a sentence.

    The sentence goes on after the name of the file.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def decode(data: bytes) -> np.ndarray:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file as the graph does, not yet turned upright.

    Returns:
        uint8 `[H, W, 3]`, RGB. Transparency is dropped, and black in a GIF; of 16 bits the high
        byte counts, of an animation the first frame.

    Raises:
        ImageFileError: If TensorFlow does not decode these bytes, or not to what is meant.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(file, "PNG")
        >>> decode(file.getvalue())[0, 0].tolist()
        [255, 0, 0]
    """
    decoders = {b"\xff\xd8\xff": _jpeg, b"\x89PNG\r\n\x1a\n": _png, b"RIFF": _webp,
                b"GIF87a": _gif, b"GIF89a": _gif, b"BM": _bmp}  # fmt: skip
    for magic, decoder in decoders.items():
        if data.startswith(magic):
            try:
                return decoder(data)
            except ImageFileError:
                raise
            except Exception as error:  # a plug-in of Pillow may raise anything on a damaged file
                raise _explained(error) from error
    raise ImageFileError("unreadable-image", "is not a JPEG, PNG, GIF, BMP or WebP file")


def rgb_of(image: Image.Image) -> Image.Image:
    """Converts an opened image to mode RGB, as TensorFlow converts its file.

    Example:
        >>> rgb_of(Image.new("LA", (1, 1), (7, 0))).getpixel((0, 0))
        (7, 7, 7)
    """
    if image.mode.startswith("I;16"):  # which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe_transform" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every file for one of Adobe's
    elif image.format == "GIF" and isinstance(clear := image.info.get("transparency"), int):
        indices = np.asarray(image)
        if indices.ndim == 2:
            colours = np.asarray(image.convert("RGB"))
            return Image.fromarray(np.where((indices == clear)[:, :, None], np.uint8(0), colours))
    return image.convert("RGB")


def _explained(error: Exception) -> ImageFileError:
    text = str(error) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        text = "its header cannot be read"
    if "truncated" in text.lower():
        return _cut()
    return ImageFileError("unreadable-image", f"is damaged: {text}")


def _opened(data: bytes, format: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=(format,))


def _cut() -> ImageFileError:
    return ImageFileError("truncated-image", "is truncated: the end of the file is missing")


def _jpeg(data: bytes) -> np.ndarray:
    # Pillow would look for a resolution in EXIF, and warn of damage there.
    with _opened(data.replace(b"Exif\0\0", b"none\0\0", 8), "JPEG") as image:
        scan = image.fp.tell() if image.fp else 0
        pixels = np.asarray(rgb_of(image))
    if data.rfind(b"\xff\xd9") < scan:  # Pillow does not look for it
        raise _cut()
    return pixels


def _webp(data: bytes) -> np.ndarray:
    if len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise _cut()
    with _opened(data, "WEBP") as image:
        return np.asarray(rgb_of(image))


def _png(data: bytes) -> np.ndarray:
    """Decodes the chunks that pixels hang on; Pillow neither checks them all nor forgives others.

    TensorFlow wants the checksums of these chunks right, the compressed stream that is whole, and
    the last chunk. Other chunks may be broken.
    """
    kept, place = [data[:8]], 8
    names: list[bytes] = []
    while names[-1:] != [b"IEND"]:
        length, name = struct.unpack(">I4s", data[place : place + 8].ljust(8, b"\0"))
        end = place + 12 + length
        if end > len(data):
            raise _cut()
        if name[0] & 0x20 == 0:  # upper case: critical
            checksum = int.from_bytes(data[end - 4 : end], "big")
            if zlib.crc32(data[place + 4 : end - 4]) != checksum:
                raise ImageFileError(
                    "unreadable-image", f"is damaged: the checksum of {name!r} is wrong"
                )
            if name not in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
                raise ImageFileError("unsupported-type", f"is a PNG with an unknown part {name!r}")
            kept.append(data[place:end])
            names.append(name)
        place = end
    with _opened(b"".join(kept), "PNG") as image:
        bits, colour, *_, interlaced = kept[1][16:21]
        if colour == 3 and b"PLTE" not in names[: names.index(b"IDAT")]:
            raise ImageFileError("unreadable-image", "is damaged: it lacks its palette")
        needed = _png_bytes(*image.size, bits * _CHANNELS[colour], interlaced)
        inflate = zlib.decompressobj()
        packed = b"".join(c[8:-4] for c in kept[1:] if c[4:8] == b"IDAT")
        found = len(inflate.decompress(packed, needed + 1))
        if found < needed or (found == needed and not inflate.eof):
            raise _cut()
        return np.asarray(rgb_of(image))


def _png_bytes(width: int, height: int, bits: int, interlaced: int) -> int:
    """Bytes of all lines of a PNG, which begin with the number of their filter."""
    steps = [(0, 0, 1, 1)]
    if interlaced:
        steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2)]  # fmt: skip
    sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in steps]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


class _GifFrame(NamedTuple):
    """The colours of a GIF's first frame, uint8 `[colours, 3]`, and the transparent one."""

    palette: np.ndarray
    transparent: int | None


def _gif(data: bytes) -> np.ndarray:
    frame = _first_frame(data)
    with _opened(data, "GIF") as image:
        indices = np.asarray(image)
    if indices.max() >= len(frame.palette):
        raise ImageFileError("unreadable-image", "is damaged: it has colours beyond its palette")
    palette = frame.palette.copy()
    if frame.transparent is not None and frame.transparent < len(palette):
        palette[frame.transparent] = 0
    return palette[indices]


def _first_frame(data: bytes) -> _GifFrame:
    """Walks the blocks of a GIF to its first frame, and judges that."""
    refused = ImageFileError("unsupported-type", GIF_REFUSED)
    if len(data) < 13:
        raise _cut()
    width, height, flags = struct.unpack("<HHB", data[6:11])
    place, palette = _gif_palette(data, 13, flags)
    control: bytes | None = None
    inside = False  # an extension: a head and blocks, the last of which is empty
    for _ in range(MOST_STEPS):
        if inside and place < len(data):
            inside, place = data[place] > 0, place + 1 + data[place]
        elif data[place : place + 1] == b"!":
            if data[place + 1 : place + 2] == b"\xf9" and control is None:
                control = data[place + 2 : place + 8]
            inside, place = True, place + 2
        else:
            break
    if place + 10 > len(data):
        raise _cut()
    mark, left, top, frame_width, frame_height, flags = struct.unpack(
        "<cHHHHB", data[place : place + 10]
    )
    fills = not (left or top) and frame_width >= width and frame_height >= height
    if mark != b"," or not fills:
        raise refused
    _, local = _gif_palette(data, place + 10, flags)
    palette = local if len(local) else palette
    if not len(palette):
        raise ImageFileError("unreadable-image", "is damaged: it lacks its palette")
    clear = control is not None and control[:1] == b"\4" and len(control) > 4 and control[1] & 1
    return _GifFrame(palette, control[4] if control and clear else None)


def _gif_palette(data: bytes, place: int, flags: int) -> tuple[int, np.ndarray]:
    size = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    part = data[place : place + size].ljust(size, b"\0")
    return place + size, np.frombuffer(part, np.uint8).reshape(-1, 3)


def _bmp(data: bytes) -> np.ndarray:
    head = data[:66].ljust(66, b"\0")
    offset, header, width, height = struct.unpack("<IIii", head[10:26])
    bits, compression = struct.unpack("<HI", head[28:34])
    colours = int.from_bytes(head[46:50], "little")
    plain = bits in (8, 24, 32) and compression == 0
    masked = bits == 32 and compression == 3 and head[54:66] == BMP_MASKS
    if header not in BMP_HEADERS or not (plain or masked):
        raise ImageFileError("unsupported-type", BMP_REFUSED)
    if width <= 0 or height == 0:
        raise ImageFileError("unreadable-image", f"is damaged: its size is {width} x {height}")
    line = (width * bits + 31) // 32 * 4
    missing = offset + line * abs(height) - len(data)
    if missing > 0:
        raise ImageFileError("truncated-image", f"is truncated: {missing} bytes are missing")
    if missing < 0:
        raise ImageFileError(
            "unreadable-image",
            f"is a BMP with {-missing} bytes too many, which TensorFlow refuses: convert it to PNG",
        )
    lines = np.frombuffer(data, np.uint8, offset=offset).reshape(abs(height), line)
    pixels = lines[:: -1 if height > 0 else 1, : width * bits // 8].reshape(abs(height), width, -1)
    if bits > 8:
        return pixels[:, :, 2::-1]
    # Indices, and colours of blue, green, red and nothing; what the palette lacks is black.
    first = 14 + header
    colours = max(0, min(colours or 256, 256, (offset - first) // 4))
    palette = np.zeros((256, 3), np.uint8)
    stored = np.frombuffer(data[first : first + 4 * colours], np.uint8).reshape(-1, 4)
    palette[: len(stored)] = stored[:, 2::-1]
    return palette[pixels[:, :, 0]]
