import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.encoders import Encoders
from mite_tf.models import (
    AveragePooling,
    ImageEncoder,
    WordAverage,
    bag_of_words_encoder,
    image_head,
)
from mite_tf.models.word_average import packing, set_packed
from mite_tf.text import WordPieceTokenizer

IDS = tf.constant([[5, 8, 5, 0], [3, 0, 0, 0], [0, 0, 0, 0], [1, 0, 2, 8]])


def layer(**kwargs):
    keras.utils.set_random_seed(3)
    made = WordAverage(9, 4, **kwargs)
    made.build((None, None))
    return made


def averages(made, is_packed, training=False):
    made.is_packed = is_packed
    with tf.GradientTape() as tape:
        found = made(IDS, training=training)
        loss = tf.reduce_sum(found**3)
    return found, tf.convert_to_tensor(tape.gradient(loss, made.embeddings.value))


@pytest.mark.parametrize("is_packed", [False, True])
def test_averages_and_gradients_are_those_of_an_embedding_and_its_pooling(is_packed):
    made = layer()
    found, gradient = averages(made, is_packed)
    with tf.GradientTape() as tape:
        vectors = tf.gather(made.embeddings.value, IDS)
        expected = AveragePooling()(vectors, mask=IDS != 0)
        loss = tf.reduce_sum(expected**3)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_allclose(
        gradient, tf.convert_to_tensor(tape.gradient(loss, made.embeddings.value)), atol=1e-8
    )


def test_both_ways_leave_out_the_same_words():
    ways = [averages(layer(word_dropout=0.5), is_packed, training=True) for is_packed in (0, 1)]
    for one, other in zip(*ways, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    assert np.abs(ways[0][0] - averages(layer(), False)[0]).max() > 0.01


def test_words_that_are_left_out_leave_the_mean_as_it_is():
    made = layer(word_dropout=0.5)
    made.is_packed = True
    often = made(tf.tile(IDS, (2000, 1)), training=True)
    mean = tf.reduce_mean(tf.reshape(often, (2000, 4, 4)), axis=0)
    np.testing.assert_allclose(mean, made(IDS), atol=3e-3)


def test_it_is_portable_in_a_file_and_in_a_block():
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer(word_dropout=0.5)])
    set_packed(model, True)
    copy = keras.Sequential.from_config(model.get_config())
    assert not copy.layers[0].is_packed
    assert copy.layers[0].word_dropout == 0.5
    with packing(model, False):
        assert not any("Sparse" in kind for kind in operations(model))
    assert any("Sparse" in kind for kind in operations(model))


def operations(model):
    graph = tf.function(model).get_concrete_function(IDS).graph
    return {each.type for each in graph.get_operations()}


def test_a_compiled_text_encoder_embeds_as_its_file_does():
    ids = np.random.default_rng(0).integers(0, 40, (20, 30)).astype(np.int32)
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", *(f"w{number}" for number in range(38))])
    text = bag_of_words_encoder(40, word_size=64, embedding_size=64, hidden_size=64)
    image = ImageEncoder(None, image_head((8,), embedding_size=64))
    found = []
    for is_packed in (False, True):
        set_packed(text, is_packed)
        found.append(Encoders(image, text, tokenizer, None).embed_ids(ids))
    np.testing.assert_array_equal(*found)
    assert text.get_layer("words").is_packed
