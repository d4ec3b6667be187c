import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.models.packed_gru import PackedGRU

MASKS = {
    "padding": np.arange(6) < np.array([[4], [1], [6], [4]]),
    "holes": np.random.default_rng(0).random((4, 6)) < 0.6,
    "an empty row": np.arange(6) < np.array([[3], [0], [2], [3]]),
}


def both_ways(layer):
    return keras.layers.Bidirectional(layer(5, return_sequences=True), merge_mode="concat")


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_states_and_gradients_are_those_of_keras(mask):
    keras.utils.set_random_seed(0)
    words = tf.random.normal((4, 6, 3))
    targets = tf.random.normal((4, 6, 10)) * tf.cast(mask, tf.float32)[:, :, None]
    ours, theirs = both_ways(PackedGRU), both_ways(keras.layers.GRU)
    for layer in (ours, theirs):
        layer.build(words.shape)
    for one, other in zip(ours.trainable_variables, theirs.trainable_variables, strict=True):
        one.assign(tf.random.normal(one.shape))
        other.assign(one)

    @tf.function
    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(words)
            states = layer(words, mask=tf.constant(mask), training=True)
            value = tf.reduce_sum(states * targets)
        return states, tape.gradient(value, [words, *(v.value for v in layer.trainable_variables)])

    (states, found), (expected_states, expected) = gradients(ours), gradients(theirs)
    for way in np.split(np.array(states), 2, axis=2):
        assert not way[~mask].any()
    np.testing.assert_allclose(states[mask], expected_states[mask], atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    in_use = ours(words, mask=tf.constant(mask), training=False)
    np.testing.assert_allclose(states[mask], in_use[mask], atol=1e-5)


@pytest.mark.parametrize("settings", [{"reset_after": False}, {"recurrent_dropout": 0.5}])
def test_other_settings_take_the_loop_of_keras(settings):
    words, mask = tf.random.normal((4, 6, 3)), tf.constant(MASKS["padding"])
    found = []
    for kind in (PackedGRU, keras.layers.GRU):
        keras.utils.set_random_seed(0)
        layer = kind(5, return_sequences=True, seed=1, **settings)
        found.append(layer(words, mask=mask, training=True))
    np.testing.assert_array_equal(*found)


def test_a_file_keeps_it(tmp_path):
    ours = keras.Sequential([keras.Input((6, 3)), both_ways(PackedGRU)])
    ours.save(tmp_path / "gru.keras")
    copy = keras.saving.load_model(tmp_path / "gru.keras")
    assert type(copy.layers[0].backward_layer) is PackedGRU
    words = np.ones((2, 6, 3), np.float32)
    np.testing.assert_array_equal(ours(words), copy(words))
