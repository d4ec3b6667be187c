"""The functions that both SavedModels serve: names, shapes and guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from mite_tf.data.images import Preprocessing, pixels_of, preprocess
from mite_tf.models import TextEncoder
from mite_tf.text import TextTokenizer

if TYPE_CHECKING:
    from mite_tf.encoders import Encoders


class Endpoint(NamedTuple):
    """The function behind one signature of a SavedModel, and the tensor that it takes.

    It gives `{"embedding": tensor}`, float32 `[N, D]` of unit norm.
    """

    function: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    input: tf.TensorSpec


def signatures_of(encoders: Encoders) -> dict[str, dict[str, Endpoint]]:
    """Returns the signatures of both SavedModels, `image` and `text`, by name."""
    return {
        "image": image_signatures(encoders.image_encoder, encoders.preprocessing),
        "text": text_signatures(encoders.text_encoder, encoders.tokenizer),
    }


def image_signatures(
    encoder: keras.Model, preprocessing: Preprocessing | None
) -> dict[str, Endpoint]:
    """Returns the signatures of the image encoder.

    From pixels, `serving_default` takes `image_bytes` (string `[N]`, files), `pixels` takes float32
    and `pixels_uint8` takes uint8 `[N, H, W, 3]` in 0-255 of any size: a signature has one type,
    and uint8 is a quarter of the bytes to send. From features (no preprocessing),
    `serving_default` and `features` take float32 features.
    """
    if preprocessing is None:
        shape = (None, *encoder.input_shape[1:])

        def features(features: tf.Tensor) -> dict[str, tf.Tensor]:
            return _embed(encoder, _guarded(features, shape))

        endpoint = Endpoint(features, tf.TensorSpec(shape, tf.float32, "features"))
        return {"serving_default": endpoint, "features": endpoint}

    size, any_size = (preprocessing.height, preprocessing.width, 3), (None, None, None, 3)

    def files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda data: pixels_of(data, preprocessing),
            _guarded(image_bytes, (None,)),
            fn_output_signature=tf.TensorSpec(size, tf.float32),
        )
        return _embed(encoder, images)

    def pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return _embed(encoder, preprocess(_guarded(pixels, any_size), preprocessing))

    return {
        "serving_default": Endpoint(files, tf.TensorSpec((None,), tf.string, "image_bytes")),
        "pixels": Endpoint(pixels, tf.TensorSpec(any_size, tf.float32, "pixels")),
        "pixels_uint8": Endpoint(pixels, tf.TensorSpec(any_size, tf.uint8, "pixels")),
    }


def text_signatures(encoder: keras.Model, tokenizer: TextTokenizer) -> dict[str, Endpoint]:
    """Returns the signatures of the text encoder.

    `serving_default` takes `text` (string `[N]`, UTF-8); `token_ids` takes int32 `[N, L]`, padded
    with 0 on the right, of which the first `max_length` columns count.
    """

    def text(text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tokenizer(_guarded(text, (None,)))
        return _embed(encoder, sized_ids(ids, tokenizer.max_length))

    def token_ids(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = _guarded(token_ids, (None, None))
        # A lookup counts negative ids from the end, and on a GPU gives zeros for those too large.
        size = vocabulary_size(encoder)
        known = tf.debugging.Assert(
            tf.reduce_all((ids >= 0) & (ids < size)),
            [f"token_ids holds a number that is no id: ids are 0 to {size - 1}."],
        )
        with tf.control_dependencies([known]):
            return _embed(encoder, sized_ids(ids, tokenizer.max_length))

    return {
        "serving_default": Endpoint(text, tf.TensorSpec((None,), tf.string, "text")),
        "token_ids": Endpoint(token_ids, tf.TensorSpec((None, None), tf.int32, "token_ids")),
    }


def sized_ids(ids: tf.Tensor, max_length: int) -> tf.Tensor:
    """Cuts token ids `[N, L]` at `max_length` columns, and makes one of none."""
    ids = ids[:, :max_length]
    return tf.pad(ids, [[0, 0], [0, tf.maximum(1 - tf.shape(ids)[1], 0)]])


def vocabulary_size(encoder: keras.Model) -> int:
    """Returns how many token ids a text encoder knows."""
    if isinstance(encoder, TextEncoder):
        return encoder.backbone.vocabulary_size
    return next(
        layer.input_dim for layer in encoder.layers if isinstance(layer, keras.layers.Embedding)
    )


def checked_ids(ids: tf.Tensor, max_length: int, vocabulary_size: int) -> tf.Tensor:
    """Sizes token ids, and refuses an empty batch and numbers that are no ids."""
    wrong = tf.reduce_any((ids < 0) | (ids >= vocabulary_size)) | (tf.shape(ids)[0] == 0)
    ids = sized_ids(ids, max_length)
    return _refused(ids, wrong, f"an_empty_batch_or_ids_not_in_0_to_{vocabulary_size - 1}")


def checked_rows(rows: tf.Tensor) -> tf.Tensor:
    """Refuses an empty batch."""
    return _refused(rows, tf.shape(rows)[0] == 0, "an_empty_batch")


def _refused(tensor: tf.Tensor, wrong: tf.Tensor, why: str) -> tf.Tensor:
    """Puts four zeros into rows of two and adds their maximum; rows of three if something is wrong.

    ONNX has no assertion, and a lookup counts negative ids from the end; but four numbers in rows
    of three are refused by ONNX Runtime and LiteRT.
    """
    three = tf.cast(wrong, tf.int32)
    zeros = tf.reshape(tf.fill([4], three), tf.stack([-1, 2 + three]), name=f"refuses_{why}")
    return tensor + tf.cast(tf.reduce_max(zeros), tensor.dtype)


def _guarded(tensor: tf.Tensor, shape: tuple[int | None, ...]) -> tf.Tensor:
    """Refuses a wrong rank or size, which would abort the process further on, and no rows."""
    # tensorflow/tensorflow#111453: a convolution checks the rank with a fatal assertion.
    tensor = tf.ensure_shape(tensor, shape)
    filled = tf.debugging.Assert(
        tf.shape(tensor)[0] > 0, ["The batch is empty: send at least one row."]
    )
    with tf.control_dependencies([filled]):
        return tf.identity(tensor)


def _embed(encoder: keras.Model, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"embedding": tf.identity(encoder(inputs, training=False), "embedding")}
