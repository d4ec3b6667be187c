import keras
import numpy as np
import pytest

from mite_tf import models
from mite_tf.models import AveragePooling, GeneralizedPooling, MaxPooling

TEXT = {
    "bag": models.bag_of_words_encoder,
    "recurrent": models.recurrent_encoder,
    "transformer": models.transformer_encoder,
}
POOLING = {"average": AveragePooling, "max": MaxPooling, "generalized": GeneralizedPooling}
IDS = np.array([[5, 9, 3, 0, 0], [7, 2, 8, 8, 1], [4, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)


def text_encoder(kind, pooling="average"):
    keras.utils.set_random_seed(3)
    return TEXT[kind](30, word_size=16, embedding_size=8, pooling=pooling, word_dropout=0.1)


def jitter(model):
    """Moves every weight, so that zero initial values hide nothing."""
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(random.normal(0, 0.3, variable.shape))


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("kind", TEXT)
def test_padding_and_company_never_change_an_embedding(kind, pooling):
    encoder = text_encoder(kind, pooling)
    jitter(encoder)
    together = encoder.predict_on_batch(IDS)
    padded = encoder.predict_on_batch(np.pad(IDS, ((0, 0), (0, 9))))
    np.testing.assert_allclose(padded, together, atol=2e-6)
    for row, length in enumerate((3, 5, 1)):
        alone = encoder.predict_on_batch(IDS[row : row + 1, :length])
        np.testing.assert_allclose(alone[0], together[row], atol=2e-6)
    assert np.isfinite(together).all()  # the last row has no word at all
    np.testing.assert_allclose(np.linalg.norm(together[:3], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", TEXT)
def test_word_order_matters_except_in_a_bag(kind):
    encoder = text_encoder(kind)
    jitter(encoder)
    a, b = encoder.predict_on_batch(np.array([[5, 9, 3], [3, 9, 5]], np.int32))
    assert (np.abs(a - b).max() > 1e-3) == (kind != "bag")
    if kind == "bag":
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("kind", TEXT)
def test_text_encoder_file_round_trip_is_exact(tmp_path, kind):
    encoder = text_encoder(kind, "generalized")
    encoder.save(tmp_path / "text.keras")
    copy = keras.saving.load_model(tmp_path / "text.keras")
    np.testing.assert_array_equal(copy.predict_on_batch(IDS), encoder.predict_on_batch(IDS))


def test_pooling_by_hand():
    values = np.array([[[1.0, 8.0], [4.0, 2.0], [90.0, 90.0]]], np.float32)
    mask = np.array([[True, True, False]])
    assert AveragePooling()(values, mask=mask).numpy().tolist() == [[2.5, 5.0]]
    assert MaxPooling()(values, mask=mask).numpy().tolist() == [[4.0, 8.0]]


def test_generalized_pooling_starts_as_the_average_and_can_become_the_maximum():
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 6, 4)).astype("float32")
    mask = np.arange(6)[None, :] < np.array([6, 3, 1])[:, None]
    layer = GeneralizedPooling()
    expected = AveragePooling()(values, mask=mask)
    np.testing.assert_allclose(layer(values, mask=mask), expected, atol=1e-6)

    class TopRank(GeneralizedPooling):
        def _encode(self, rank):  # a network that sees rank 0 and weighs it alone
            return keras.ops.repeat(keras.ops.cast(rank[:, :, None] == 0, "float32"), 32, axis=-1)

    top = TopRank()
    top(values, mask=mask)
    hidden, hidden_bias, weight, bias = top.get_weights()
    hidden[:32], hidden[32:] = 1, 0  # ranks from the top, ranks from the bottom
    top.set_weights([hidden, hidden_bias, weight + 1, bias])
    np.testing.assert_allclose(top(values, mask=mask), MaxPooling()(values, mask=mask), atol=1e-4)


@pytest.mark.parametrize("kind", POOLING)
def test_pooling_of_a_feature_map_takes_every_position(kind):
    random = np.random.default_rng(0)
    features = random.normal(size=(2, 3, 5, 4)).astype("float32")
    layer = POOLING[kind]()
    flat = layer(features.reshape(2, 15, 4))
    np.testing.assert_allclose(layer(features), flat, atol=1e-6)
    shuffled = features.reshape(2, 15, 4)[:, random.permutation(15)]
    np.testing.assert_allclose(layer(shuffled), flat, atol=1e-6)


def test_small_integers_and_floats_are_the_same_pixels():
    backbone = models.small_cnn(image_size=32, width=8)
    encoder = models.ImageEncoder(backbone, models.image_head(backbone.output_shape[1:]))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(
        encoder.predict_on_batch(pixels), encoder.predict_on_batch(pixels.astype("float32"))
    )


def test_discriminator_sees_inputs_of_size_one():
    model = models.modality_discriminator(400)
    scaled = model.get_layer("scale")(np.full((1, 400), 1 / 20, np.float32))
    np.testing.assert_allclose(scaled, 1.0, rtol=1e-6)


def test_errors_name_the_rule():
    with pytest.raises(ValueError, match="vector"):
        models.image_head((3, 4))
    with pytest.raises(ValueError, match="Unknown pooling"):
        models.image_head((3, 3, 4), pooling="median")
    with pytest.raises(ValueError, match="encoding_size=3"):
        GeneralizedPooling(encoding_size=3)
    with pytest.raises(ValueError, match="heads=3"):
        models.transformer_encoder(10, word_size=16, heads=3)
