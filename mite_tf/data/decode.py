"""Decoding one image file inside the graph, with core operations of TensorFlow alone."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mite_tf.data.upright import number, orientation_of, read_bytes, turn_upright
from mite_tf.image_files import BMP_MASKS
from mite_tf.image_headers import BMP_HEADERS, BMP_REFUSED, GIF_REFUSED
from mite_tf.orientation import MOST_STEPS

# Flags in the header of a WebP file.
_ANIMATED, _TRANSPARENT = 0x02, 0x10
_UNKNOWN = "Unknown image file format: not a JPEG, PNG, GIF, BMP or WebP file."


def decode_image(data: tf.Tensor, orientation: str = "exif") -> tf.Tensor:
    """Decodes one JPEG, PNG, GIF, BMP or WebP file inside the graph.

    JPEGs are decoded with the accurate DCT; TensorFlow's default is up to 15 grey levels away.
    Transparency is dropped, and black in a GIF; of an animation the first frame counts. Files of 8
    bits a channel give the same bits as `mite_tf.image_files.decode`, which refuses what this
    refuses.

    Args:
        data: The bytes of the file, a scalar string.
        orientation: `exif` turns the image upright as its EXIF says; `ignored` does not.

    Returns:
        uint8 tensor `[H, W, 3]`, RGB.
    """
    jpeg, png = tf.strings.substr(data, 0, 3), tf.strings.substr(data, 0, 4)
    usual = (jpeg == b"\xff\xd8\xff") | (png == b"\x89PNG")
    image = tf.cond(usual, lambda: _decode_jpeg(data), lambda: _decode_other(data))
    image = tf.ensure_shape(image, (None, None, 3))
    return turn_upright(image, orientation_of(data)) if orientation == "exif" else image


# Not inlined, see `mite_tf.data.upright`.
@tf.function(
    input_signature=[tf.TensorSpec((), tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _decode_other(data: tf.Tensor) -> tf.Tensor:
    head = read_bytes(data, 0, 25)

    def holds(text: bytes, place: int = 0) -> tf.Tensor:
        return tf.reduce_all(head[place : place + len(text)] == list(text))

    return tf.case(
        [
            (holds(b"RIFF") & holds(b"WEBP", 8), lambda: _decode_webp(data, head, holds)),
            (holds(b"GIF87a") | holds(b"GIF89a"), lambda: _decode_gif(data)),
            (holds(b"BM"), lambda: _decode_bmp(data)),
        ],
        # TensorFlow reads more, such as JPEG XL, which nothing else here does.
        default=lambda: _refused(False, _UNKNOWN, data),
    )


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")  # PNG, too


def _decode_any(data: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_image(data, channels=channels, expand_animations=False)


def _refused(fits: bool | tf.Tensor, message: str, data: tf.Tensor) -> tf.Tensor:
    """Decodes what does not fit to an error with a message of ours."""
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        return _decode_any(tf.identity(data), 3)


def _decode_webp(data: tf.Tensor, head: tf.Tensor, holds: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Decodes a WebP file; the operation takes the number of channels of the file and no other."""

    # To ask for "as many as there are" is not safe in an animation: of one without transparency
    # the operation (TensorFlow 2.21) writes four channels into memory for three. But every
    # animation decodes to four channels, so its header is made to say so.
    def animation() -> tf.Tensor:
        transparent = tf.constant([bytes([value | _TRANSPARENT]) for value in range(256)])
        rest = tf.strings.substr(data, 21, tf.strings.length(data))
        parts = [tf.strings.substr(data, 0, 20), transparent[head[20]], rest]
        return _decode_any(tf.strings.join(parts), 4)[..., :3]

    animated = holds(b"VP8X", 12) & (tf.bitwise.bitwise_and(head[20], _ANIMATED) > 0)
    return tf.cond(animated, animation, lambda: _decode_any(data, 0)[..., :3])


def _decode_gif(data: tf.Tensor) -> tf.Tensor:
    """Decodes the first frame of a GIF.

    A frame that does not fill the picture would be put into a wrong place, and cut there.
    """
    head = read_bytes(data, 0, 13)
    flags, size = head[10], tf.cast(tf.strings.length(data), tf.int64)
    palette = tf.where(flags >= 0x80, tf.bitwise.left_shift(tf.constant(6, tf.int64), flags % 8), 0)

    def body(place: tf.Tensor, inside: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Goes past the head of an extension, or one block inside of it."""
        [byte] = tf.unstack(read_bytes(data, place, 1))
        extension = ~inside & (byte == ord("!"))
        going_on = inside | extension
        place += tf.where(going_on, tf.where(inside, 1 + byte, 2), 0)
        return tf.minimum(place, size), tf.where(inside, byte > 0, extension), going_on

    place, *_ = tf.while_loop(
        lambda place, _, going_on: going_on & (place < size),
        body,
        (13 + palette, tf.constant(False), tf.constant(True)),
        maximum_iterations=MOST_STEPS,
        parallel_iterations=1,
    )
    frame = read_bytes(data, place, 9)
    left, top, width, height = (number(frame[n : n + 2]) for n in (1, 3, 5, 7))
    fills = (width >= number(head[6:8])) & (height >= number(head[8:10]))
    fits = (frame[0] == ord(",")) & (left == 0) & (top == 0) & fills
    image = _refused(fits, f"The image {GIF_REFUSED}.", data)
    return image[:height, :width]  # a later frame may be larger


def _decode_bmp(data: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP; the operation looks at no compression, and takes indices for grey."""
    head = read_bytes(data, 0, 66)
    offset, header, colours = number(head[10:14]), number(head[14:18]), number(head[46:50])
    bits, compression = number(head[28:30]), number(head[30:34])
    plain = tf.reduce_any(bits == (8, 24, 32)) & (compression == 0)
    masked = (bits == 32) & (compression == 3) & tf.reduce_all(head[54:66] == list(BMP_MASKS))
    fits = tf.reduce_any(header == BMP_HEADERS) & (plain | masked)
    image = _refused(fits, f"The image {BMP_REFUSED}.", data)

    def coloured() -> tf.Tensor:
        palette = tf.reshape(read_bytes(data, 14 + header, 1024), (256, 4))[:, :3]
        colours_ = tf.minimum(tf.where(colours > 0, colours, 256), (offset - 14 - header) // 4)
        palette = tf.where(tf.range(256, dtype=tf.int64)[:, None] < colours_, palette, 0)
        return tf.gather(
            tf.cast(tf.reverse(palette, [1]), tf.uint8), tf.cast(image[..., 0], tf.int32)
        )

    return tf.cond(bits == 8, coloured, lambda: image)
