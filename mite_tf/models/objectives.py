"""Both objectives of the encoders on one batch, and what can be measured on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mite_tf.losses import AdversarialLoss, MatchingLoss, active_hinges, similarity_gap
from mite_tf.losses.adversarial import modality_logits

# Image embeddings `[I, D]` and caption embeddings `[N, D]`.
Embeddings = tuple[tf.Tensor, tf.Tensor]
Measures = dict[str, tf.Tensor]
_Arranged = tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]


def match(
    loss: MatchingLoss,
    batch: Mapping[str, tf.Tensor],
    embeddings: Embeddings,
    caption_weights: tf.Tensor | None = None,
    nested_sizes: Sequence[int] = (),
) -> tuple[tf.Tensor, Measures]:
    """Computes the matching loss of each caption with its image.

    With nested sizes the loss is the mean of that of whole embeddings and those of their first
    values, scaled to length 1, so that a part of an embedding is one too.

    Args:
        loss: The loss.
        batch: A batch, of which `image_id` `[I]` and `caption_image_id` `[N]` are read.
        embeddings: Those of the images and the captions.
        caption_weights: Weights of the captions, `[N]`.
        nested_sizes: How many of the first values are an embedding as well, each below D.

    Returns:
        The loss, a scalar, and by name the loss and what the similarities say of the embeddings.

    Raises:
        InvalidArgumentError: If the image of a caption is not in the batch.

    Reference:
        Kusupati et al., Matryoshka Representation Learning, NeurIPS 2022, arXiv:2205.13147.

    Example:
        >>> from mite_tf.losses import BidirectionalTriplet
        >>> ids = {"image_id": tf.constant([7, 8]), "caption_image_id": tf.constant([8, 7])}
        >>> images, captions = tf.eye(2), tf.reverse(tf.eye(2), [0])
        >>> value, measures = match(BidirectionalTriplet(), ids, (images, captions))
        >>> float(value), float(measures["similarity_gap"])
        (0.0, 1.0)
    """
    ids = batch["caption_image_id"]
    rows = _rows_of_images(ids, batch["image_id"])
    pairs = _in_pairs(batch, embeddings, rows, caption_weights)
    taken = _in_one_list(batch, embeddings, rows, caption_weights) if loss.pools else pairs
    similarities = pairs[1]
    values = [loss(*taken)]
    for size in nested_sizes:
        images, captions = (keras.ops.normalize(each[:, :size]) for each in embeddings)
        arranged = _in_one_list if loss.pools else _in_pairs
        values.append(loss(*arranged(batch, (images, captions), rows, caption_weights)))
    value = tf.add_n(values) / len(values)
    alike = tf.fill(tf.shape(taken[1]), tf.reduce_mean(similarities))
    return value, {
        "matching_loss": value,
        "active_hinges": active_hinges(ids, similarities, loss.margin),
        "similarity_gap": similarity_gap(ids, similarities),
        # What the loss would be if the embeddings of the batch were all alike.
        "loss_if_alike": loss(taken[0], alike, taken[2]),
    }


def _in_pairs(
    batch: Mapping[str, tf.Tensor],
    embeddings: Embeddings,
    rows: tf.Tensor,
    caption_weights: tf.Tensor | None,
) -> _Arranged:
    """Image ids, similarities and weights of each caption and its image."""
    images, captions = embeddings
    similarities = tf.matmul(tf.gather(images, rows), captions, transpose_b=True)
    return batch["caption_image_id"], similarities, caption_weights


def _in_one_list(
    batch: Mapping[str, tf.Tensor],
    embeddings: Embeddings,
    rows: tf.Tensor,
    caption_weights: tf.Tensor | None,
) -> _Arranged:
    """Image ids, similarities and weights of all images and captions together."""
    ids = tf.concat([batch["image_id"], batch["caption_image_id"]], axis=0)
    items = tf.concat(embeddings, axis=0)
    weights = caption_weights
    if weights is not None:
        of_images = tf.math.unsorted_segment_mean(weights, rows, tf.size(batch["image_id"]))
        weights = tf.concat([of_images, weights], axis=0)
    return ids, tf.matmul(items, items, transpose_b=True), weights


def with_unpaired(
    model: Any, batch: Mapping[str, tf.Tensor], embeddings: Embeddings, training: bool
) -> Embeddings:
    """Appends the embeddings of what a batch has unpaired, for the adversary, to the others.

    Args:
        model: A `MITE`.
        batch: A batch, of which the keys that begin with `unpaired_` are read.
        embeddings: Those of the images and the captions that are paired.
        training: Whether dropout is on.

    Example:
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(text_encoder=lambda ids, training: tf.zeros((len(ids), 2)))
        >>> batch = {"unpaired_token_ids": tf.constant([[3], [4], [5]])}
        >>> [len(each) for each in with_unpaired(model, batch, (tf.eye(2), tf.eye(2)), False)]
        [2, 5]
    """
    images, captions = embeddings
    more = {
        key.removeprefix("unpaired_"): value
        for key, value in batch.items()
        if key.startswith("unpaired_")
    }
    if more.keys() & {"features", "pixels"}:
        images = tf.concat([images, model.embed_images(more, training=training)], axis=0)
    if "token_ids" in more:
        more_captions = embed_texts(model.text_encoder, more, training=training)
        captions = tf.concat([captions, more_captions], axis=0)
    return images, captions


def embed_texts(text_encoder: Any, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
    """Returns text embeddings `[N, D]` from `token_ids`, with `text_features` where they are known.

    Example:
        >>> embed_texts(lambda ids, training: ids * 1.0, {"token_ids": tf.constant([[2.0]])})
        <tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[2.]], dtype=float32)>
    """
    if "text_features" in inputs:
        return text_encoder.embed(inputs["token_ids"], inputs["text_features"], training=training)
    return text_encoder(inputs["token_ids"], training=training)


def play(
    loss: AdversarialLoss, discriminator: keras.Model, embeddings: Embeddings
) -> tuple[tf.Tensor, Measures]:
    """Computes the adversarial loss of the encoders.

    Returns:
        The loss, a scalar, and by name the loss and how often the discriminator is right, each
        modality counting one half.

    Example:
        >>> from mite_tf.losses import FlippedLabels
        >>> discriminator = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
        >>> embeddings = tf.constant([[2.0]]), tf.constant([[-2.0], [1.0]])
        >>> _, measures = play(FlippedLabels(), discriminator, embeddings)
        >>> float(measures["discriminator_accuracy"])  # (1 + 1/2) / 2
        0.75
    """
    value = loss.encoder_loss(discriminator, *embeddings)
    logits = modality_logits(discriminator, *embeddings, training=False)
    right = [tf.cast(logits[0] > 0, tf.float32), tf.cast(logits[1] <= 0, tf.float32)]
    accuracy = tf.add_n([tf.reduce_mean(each) for each in right]) / 2
    return value, {"adversarial_loss": value, "discriminator_accuracy": accuracy}


def _rows_of_images(caption_image_ids: tf.Tensor, image_ids: tf.Tensor) -> tf.Tensor:
    """Row of each caption's image in a batch, int64 `[N]`; XLA leaves the check out."""
    belongs = caption_image_ids[:, None] == image_ids[None, :]
    absent = tf.boolean_mask(caption_image_ids, ~tf.reduce_any(belongs, axis=1))
    tf.debugging.Assert(
        tf.size(absent) == 0,
        ["`caption_image_id` names images that are not in `image_id` of the batch:", absent],
        summarize=10,
    )
    return tf.argmax(tf.cast(belongs, tf.int8), axis=1)
