"""Turning a decoded image upright inside the graph, with core operations of TensorFlow alone.

The rules are those of `mite_tf.orientation`, which does the same without TensorFlow. What is
seldom needed is not inlined in a SavedModel: in a branch that is not taken, each operation costs
time all the same. A `tf.data` pipeline pays for it.
"""

from __future__ import annotations

import tensorflow as tf

from mite_tf.orientation import INTEGERS, MOST_STEPS, ORIENTATION, UNITS

# By kind of file, JPEG, PNG and WebP: where its parts begin, what the first 10 bytes of a part are
# when it is EXIF (None is any), and when it is the last one to look at, the weight of each byte in
# the length, what a part has beyond that, and where its contents begin.
_START = (2, 8, 12)
_EXIF = (
    (0xFF, 0xE1, None, None, *b"Exif\0\0"),
    (None, None, None, None, *b"eXIf", None, None),
    (*b"EXIF", None, None, None, None, None, None),
)
_LAST = (
    (0xFF, 0xDA, *[None] * 8),
    (None, None, None, None, *b"IEND", None, None),
    (-1, *[None] * 9),
)
_LENGTH = (
    (0, 0, 1 << 8, 1, *[0] * 6),
    (1 << 24, 1 << 16, 1 << 8, 1, *[0] * 6),
    (*[0] * 4, 1, 1 << 8, 1 << 16, 1 << 24, 0, 0),
)
_AROUND = (2, 12, 8)
_CONTENTS = (4, 8, 8)


# EXIF, and behind it an integer under the tag of the orientation.
_MAY_TELL = (
    r"\C*?(?:Exif\x00\x00|eXIf|EXIF)\C*?"
    r"(?:\x01\x12\x00[\x03\x04\x08\x09]|\x12\x01[\x03\x04\x08\x09]\x00)\C*"
)
# Such an entry as cameras write it for a picture that is upright. No entry begins inside of it but
# at the last byte of the first kind, which has to stay.
_UPRIGHT = (
    r"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01|"
    r"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00"
)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image `[H, W, 3]` as its orientation, 1 to 8, asks for."""
    turned = tf.cond(orientation > 1, lambda: _turned(image, orientation), lambda: image)
    return tf.ensure_shape(turned, (None, None, 3))


def lying_box(
    begin: tf.Tensor, size: tf.Tensor, shape: tf.Tensor, orientation: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where a box of an upright image of some shape lies in the image as it is stored."""
    vertical, horizontal = _mirrored(orientation)
    mirrored = tf.stack([vertical, horizontal, False])
    begin = tf.where(mirrored, shape - begin - size, begin)
    return turned_shape(begin, orientation), turned_shape(size, orientation)


def turned_shape(shape: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns the shape `[H, W, 3]` that an image has when it is turned, or had before."""
    return tf.where(orientation >= 5, tf.gather(shape, [1, 0, 2]), shape)


def orientation_of(data: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG, PNG or WebP file, an int64 of 1 to 8.

    It is 1 where there is none, and where EXIF is damaged or says something else.
    """
    rest = tf.strings.regex_replace(data, _UPRIGHT, "\x01")
    may_tell = tf.strings.regex_full_match(rest, _MAY_TELL)  # far faster than a walk
    return tf.cond(may_tell, lambda: _walked(data), lambda: tf.constant(1, tf.int64))


def read_bytes(data: tf.Tensor, place: int | tf.Tensor, count: int) -> tf.Tensor:
    """Returns `count` bytes of a scalar string as int64; zeros stand for those behind its end."""
    if not isinstance(place, int) or place:
        place = tf.minimum(tf.cast(place, tf.int64), tf.cast(tf.strings.length(data), tf.int64))
    part = tf.strings.substr(data, place, tf.constant(count, getattr(place, "dtype", tf.int32)))
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int64)


def number(values: tf.Tensor, big: bool | tf.Tensor = False) -> tf.Tensor:
    """Returns the integers that bytes `[..., n]`, at most 4, write, little-endian or `big`."""
    weights = [1, 1 << 8, 1 << 16, 1 << 24][: values.shape[-1]]
    return tf.reduce_sum(values * tf.where(big, tf.constant(weights[::-1], tf.int64), weights), -1)


@tf.function(
    input_signature=[tf.TensorSpec((), tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _walked(data: tf.Tensor) -> tf.Tensor:
    head = read_bytes(data, 0, 21)
    jpeg = tf.reduce_all(head[:3] == list(b"\xff\xd8\xff"))
    png = tf.reduce_all(head[:8] == list(b"\x89PNG\r\n\x1a\n"))
    names = tf.concat([head[:4], head[8:16]], 0) == list(b"RIFFWEBPVP8X")
    webp = tf.reduce_all(names) & (head[20] // 8 % 2 == 1)  # a flag says that there is EXIF
    kind = tf.where(jpeg, 0, tf.where(png, 1, 2))

    def constant(rows: tuple[object, ...]) -> tf.Tensor:
        return tf.gather(tf.constant(rows, tf.int64), kind)

    def pattern(rows: tuple[tuple[int | None, ...], ...]) -> tuple[tf.Tensor, tf.Tensor]:
        counts = [[int(byte is not None) for byte in row] for row in rows]
        return constant(tuple(tuple(b or 0 for b in row) for row in rows)), constant(tuple(counts))

    size = tf.cast(tf.strings.length(data), tf.int64)
    exif, last, weights = pattern(_EXIF), pattern(_LAST), constant(_LENGTH)
    around = constant(_AROUND)

    def is_like(part: tf.Tensor, wanted: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.reduce_all((part * wanted[1]) == wanted[0])

    def body(place: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = read_bytes(data, place, 10)
        length = tf.reduce_sum(part * weights)
        marker = part[1]
        stray = (part[0] != 0xFF) | (marker == 0) | (marker == 0xFF)
        alone = (marker >= 0xD0) & (marker <= 0xD9)
        in_jpeg = tf.where(alone, 0 * length, tf.maximum(length, 2)) + 2
        in_jpeg = tf.where(stray, tf.ones_like(length), in_jpeg)
        in_chunks = around + length + length % 2 * tf.cast(webp, tf.int64)
        stop = is_like(part, exif) | is_like(part, last)
        place = tf.where(stop, place, tf.minimum(place + tf.where(jpeg, in_jpeg, in_chunks), size))
        return place, ~stop & (place < size)

    place, _ = tf.while_loop(
        lambda _, going_on: going_on,
        body,
        (constant(_START), jpeg | png | webp),
        maximum_iterations=MOST_STEPS,
        parallel_iterations=1,
    )
    part = read_bytes(data, place, 10)
    length = tf.reduce_sum(part * weights) - 2 * tf.cast(jpeg, tf.int64)
    found = is_like(part, exif) & (jpeg | png | webp)
    contents = _part(data, place + constant(_CONTENTS), length * tf.cast(found, tf.int64))
    return _in_exif(contents)


def _part(data: tf.Tensor, place: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    size = tf.cast(tf.strings.length(data), tf.int64)
    return tf.strings.substr(data, tf.minimum(place, size), length)


def _in_exif(exif: tf.Tensor) -> tf.Tensor:
    """The rules of `mite_tf.orientation.exif_orientation`, for all entries at once."""
    exif = tf.strings.regex_replace(exif, r"^(Exif\x00\x00){1,2}", "", replace_global=False)
    size = tf.cast(tf.strings.length(exif), tf.int64)
    head = read_bytes(exif, 0, 8)
    order, mark = number(head[:2]), number(head[2:4])  # MM or II, and 42 either way round
    big = order == 0x4D4D
    known = (big | (order == 0x4949)) & ((mark == 0x2A00) | (mark == 0x002A))

    first = number(head[4:], big) + 2
    count = tf.minimum(number(read_bytes(exif, first - 2, 2), big), (size - first) // 12)
    block = _part(exif, first, 12 * tf.maximum(tf.where(known, count, 0), 0))
    # One more, without meaning, so that there is a first of those that tell an orientation.
    block = tf.strings.join([block, bytes(12)])
    entries = tf.cast(tf.reshape(tf.io.decode_raw(block, tf.uint8), (-1, 12)), tf.int64)
    tag, kind = number(entries[:, :2], big), number(entries[:, 2:4], big)
    unit = tf.gather(tf.constant((*UNITS, 0), tf.int64), tf.minimum(kind, len(UNITS)))
    length, offset = unit * number(entries[:, 4:8], big), number(entries[:, 8:], big)
    is_far = length > 4
    skipped = is_far & (tf.cumsum(tf.where(is_far, length, 0)) > size)
    broken = is_far & ~skipped & (offset + length > size)
    lost = tf.cumsum(tf.cast(broken, tf.int32)) > 0
    told = (tag == ORIENTATION) & (length > 0) & ~skipped & ~lost
    row = tf.argmax(told)
    place = tf.where(is_far[row], offset[row], first + 12 * row + 8)
    value = read_bytes(exif, place, 4)
    value = tf.where(unit[row] == 2, number(value[:2], big), number(value, big))
    good = told[row] & tf.reduce_any(kind[row] == INTEGERS) & (value >= 1) & (value <= 8)
    return tf.where(good, value, 1)


def _mirrored(orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    vertical = tf.reduce_any(orientation == (3, 4, 7, 8))
    return vertical, tf.reduce_any(orientation == (2, 3, 6, 7))


@tf.function(autograph=False, reduce_retracing=True, experimental_attributes={"_noinline": True})
def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    # One lookup: a transposition of uint8 goes through oneDNN, which complains on most machines.
    shape = tf.shape(image)
    height, width, _ = tf.unstack(turned_shape(shape, orientation))
    vertical, horizontal = _mirrored(orientation)
    rows, columns = tf.range(height)[:, None], tf.range(width)
    rows = tf.where(vertical, height - 1 - rows, rows)
    columns = tf.where(horizontal, width - 1 - columns, columns)
    swapped = orientation >= 5
    step, stride = tf.where(swapped, 1, shape[1]), tf.where(swapped, shape[1], 1)
    source = rows * step + columns * stride
    return tf.gather(tf.reshape(image, (-1, 3)), source)
