"""The pooled triplet loss against loops over images and captions."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from mite_tf.losses import BidirectionalTriplet, PooledTriplet

MARGIN, TEMPERATURE = 0.2, 0.3
# Image 7 comes with three captions, 8 with one, 9 with two.
IDS = np.array([7, 9, 7, 8, 9, 7])


@pytest.fixture
def pairs():
    random = np.random.default_rng(0)
    by_id = {each: random.normal(size=4) for each in np.unique(IDS)}
    images, captions = np.stack([by_id[each] for each in IDS]), random.normal(size=(len(IDS), 4))
    return [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (images, captions)]


def oracle(images, captions):
    """The loss of each pair, in a gallery that holds every image once."""
    gallery = [(each, images[IDS.tolist().index(each)]) for each in np.unique(IDS)]
    gallery += list(zip(IDS, captions, strict=True))

    def hinge(anchor, positive, own):
        negatives = [anchor @ other for each, other in gallery if each != own]
        hard = sum(math.exp((MARGIN - positive + each) / TEMPERATURE) for each in negatives)
        return TEMPERATURE * math.log1p(hard)

    losses = []
    for n, own in enumerate(IDS):
        pair = images[n] @ captions[n]
        loss = hinge(images[n], pair, own) + hinge(captions[n], pair, own)
        siblings = [m for m in range(len(IDS)) if m != n and IDS[m] == own]
        hinges = [hinge(captions[n], captions[n] @ captions[m], own) for m in siblings]
        losses.append(loss + (sum(hinges) / len(hinges) if hinges else 0.0))
    return losses


def test_the_negatives_of_every_item_are_all_others_once(pairs):
    loss = PooledTriplet(MARGIN, TEMPERATURE, reduction=None)
    found = loss(IDS, loss.similarities(*map(ops.array, pairs)))
    np.testing.assert_allclose(found, oracle(*pairs), rtol=1e-4)


def test_between_modalities_alone_it_is_the_soft_triplet_loss(pairs):
    images, captions = (each[[0, 1, 3]] for each in pairs)
    ours, theirs = (
        PooledTriplet(MARGIN, TEMPERATURE),
        BidirectionalTriplet(MARGIN, "soft", 0.0, TEMPERATURE),
    )
    similarities = theirs.similarities(ops.array(images), ops.array(captions))
    assert float(ours(IDS[[0, 1, 3]], similarities)) == pytest.approx(
        float(theirs(IDS[[0, 1, 3]], similarities)), rel=1e-6
    )


def test_a_single_image_has_no_loss_and_a_file_keeps_it(pairs):
    loss = keras.losses.deserialize(keras.losses.serialize(PooledTriplet(0.0, 0.1)))
    assert (loss.margin, loss.temperature) == (0.0, 0.1)
    images, captions = (ops.array(each[[0, 2]], "float32") for each in pairs)
    assert float(loss(IDS[[0, 2]], loss.similarities(images, captions))) == 0.0


def test_only_a_loss_that_pools_takes_similarities_within_a_modality(pairs):
    taken = PooledTriplet().similarities(*map(ops.array, pairs))
    with pytest.raises(ValueError, match=r"similarities of shape \[N, N\]"):
        BidirectionalTriplet()(IDS, taken)
