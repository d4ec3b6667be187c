"""The pooled triplet loss against loops over images and captions."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from mite_tf.losses import BidirectionalTriplet, PooledTriplet
from mite_tf.models.objectives import match

MARGIN, TEMPERATURE = 0.2, 0.3
IMAGES = np.array([9, 7, 8])
CAPTIONS = np.array([7, 9, 7, 8, 9, 7])  # three of image 7, one of 8, two of 9
BATCH = {"image_id": IMAGES, "caption_image_id": CAPTIONS}


def unit(rows, seed):
    vectors = np.random.default_rng(seed).normal(size=(rows, 4)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def embeddings():
    return unit(len(IMAGES), 0), unit(len(CAPTIONS), 1)


def oracle(embeddings):
    """The mean loss of all items of one gallery."""
    ids, items = np.concatenate([IMAGES, CAPTIONS]), np.concatenate(embeddings)
    losses = []
    for n, anchor in enumerate(items):
        negatives = [anchor @ item for own, item in zip(ids, items, strict=True) if own != ids[n]]
        hinges = []
        for m in np.flatnonzero(ids == ids[n]):
            pair = anchor @ items[m]
            hard = sum(math.exp((MARGIN - pair + each) / TEMPERATURE) for each in negatives)
            hinges += [TEMPERATURE * math.log1p(hard)] if m != n else []
        losses.append(3 * sum(hinges) / len(hinges))
    return sum(losses) / len(losses)


def test_the_negatives_of_every_item_are_all_items_of_other_images(embeddings):
    value, measures = match(PooledTriplet(MARGIN, TEMPERATURE), BATCH, embeddings)
    assert float(value) == pytest.approx(oracle(embeddings), rel=1e-4)
    # Alike, it is log(1 + negatives) and a bit, whatever the embeddings.
    assert float(measures["loss_if_alike"]) > 3 * TEMPERATURE * math.log(5)


def test_captions_that_do_not_count_change_nothing(embeddings):
    loss = PooledTriplet(MARGIN, TEMPERATURE)
    weights = np.array([0, 1, 0, 1, 1, 0], "float32")
    value, _ = match(loss, BATCH, embeddings, ops.array(weights))
    each = PooledTriplet(MARGIN, TEMPERATURE, reduction=None)
    ids, items = np.concatenate([IMAGES, CAPTIONS]), np.concatenate(embeddings)
    counts = np.array([1, 0, 1, *weights])
    assert float(value) == pytest.approx(
        float(np.sum(counts * each(ids, items @ items.T)) / len(ids)), rel=1e-5
    )


def test_a_single_image_has_no_loss_and_a_file_keeps_it(embeddings):
    loss = keras.losses.deserialize(keras.losses.serialize(PooledTriplet(0.0, 0.1)))
    assert (loss.margin, loss.temperature) == (0.0, 0.1)
    batch = {"image_id": IMAGES[:1], "caption_image_id": IMAGES[[0, 0]]}
    assert float(match(loss, batch, (embeddings[0][:1], embeddings[1][:2]))[0]) == 0.0


def test_a_caption_that_is_nearer_to_all_captions_than_to_its_image_costs(embeddings):
    images = np.float32([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0.6, 0.8, 0, 0]])
    captions = np.float32([[0, 0, 1, 0], [0, 0, 0.8, 0.6], [0, 0, 0.6, 0.8]])
    batch = {"image_id": IMAGES, "caption_image_id": IMAGES}
    pooled, _ = match(PooledTriplet(MARGIN, TEMPERATURE), batch, (images, captions))
    apart = BidirectionalTriplet(MARGIN, "soft", temperature=TEMPERATURE)
    assert float(pooled) > 1.5 * float(match(apart, batch, (images, captions))[0])
