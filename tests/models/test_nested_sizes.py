"""Embeddings whose first values are embeddings too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.losses import BidirectionalTriplet, PooledTriplet
from mite_tf.models.objectives import match


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("loss", [BidirectionalTriplet(margin=0.3), PooledTriplet(margin=0.3)])
def test_the_loss_is_the_mean_of_those_of_each_part_by_itself(loss):
    random = np.random.default_rng(0)
    images, captions = (unit(random.normal(size=(count, 6))).astype("float32") for count in (3, 5))
    batch = {
        "image_id": tf.constant([4, 7, 9]),
        "caption_image_id": tf.constant([9, 4, 4, 7, 9]),
    }
    weights = tf.constant([1.0, 0.5, 2.0, 1.0, 1.0])
    parts = [
        float(match(loss, batch, (unit(images[:, :size]), unit(captions[:, :size])), weights)[0])
        for size in (6, 2, 3)
    ]
    value, measures = match(loss, batch, (images, captions), weights, [2, 3])
    assert float(value) == pytest.approx(np.mean(parts), rel=1e-5)
    assert float(measures["matching_loss"]) == float(value)
    assert len({round(part, 3) for part in parts}) == 3


def test_it_is_what_a_model_minimises_and_validates_by(make_mite, make_batch):
    model, batch = make_mite(), make_batch(images=8)
    model.compile(keras.optimizers.SGD(1.0), nested_sizes=[2])
    tensors = {key: tf.constant(value) for key, value in batch.items()}
    embeddings = model(batch, training=False)
    expected = float(match(model.matching_loss, tensors, embeddings, None, [2])[0])
    for call in (model.test_on_batch, model.train_on_batch):
        assert call(batch, return_dict=True)["matching_loss"] == pytest.approx(expected, rel=1e-5)


def test_sizes_come_back_from_a_file(make_mite, tmp_path):
    model = make_mite()
    model.compile("adam", nested_sizes=[4, 8])
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").nested_sizes == (4, 8)


@pytest.mark.parametrize("sizes", [[0], [16], [8, 4], [4, 4]])
def test_sizes_rise_and_stay_below_the_whole(make_mite, sizes):
    with pytest.raises(ValueError, match="rising sizes between 1 and 15"):
        make_mite().compile("adam", nested_sizes=sizes)
