"""A text encoder on a pretrained backbone."""

import keras
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.models import (
    MITE,
    ImageEncoder,
    TextBackbone,
    hub_encoder,
    image_head,
    load_text_backbone,
    modality_discriminator,
)
from mite_tf.models.hub_encoder import text_head
from tests.tiny_bert import write_tiny_bert
from tests.tiny_hub import write_tiny_hub

keras_hub = pytest.importorskip("keras_hub")
IDS = np.array([[2, 9, 7, 3, 0, 0], [2, 3, 0, 0, 0, 0], [2, 6, 7, 8, 9, 3]], np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("hub") / "bert", "abcdef", layers=2)


@pytest.fixture
def backbone(folder):
    return load_text_backbone(str(folder))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_features_are_the_pooled_vectors_of_the_network(folder, pooling):
    network = keras_hub.models.BertBackbone.from_preset(str(folder))
    mask = (IDS > 0).astype(np.int32)
    vectors = network({"token_ids": IDS, "padding_mask": mask, "segment_ids": 0 * IDS})
    vectors = np.array(vectors["sequence_output"])
    mean = (vectors * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
    found = load_text_backbone(str(folder), pooling)(IDS, training=True)
    np.testing.assert_allclose(found, mean if pooling == "mean" else vectors[:, 0], atol=1e-5)


def test_generalized_pooling_is_the_mean_until_it_has_learned(folder, tmp_path):
    mean, learning = (load_text_backbone(str(folder), kind) for kind in ("mean", "generalized"))
    learning.network.set_weights(mean.network.get_weights())
    np.testing.assert_allclose(learning(IDS), mean(IDS), atol=1e-6)
    *below, _ = learning.learned_variables
    assert len(below) == len(mean.learned_variables) + 3  # what makes its weights
    pooling = learning.get_layer("pooling")
    random = np.random.default_rng(0)
    pooling.set_weights([random.standard_normal(each.shape) for each in pooling.get_weights()])
    assert np.abs(learning(IDS) - mean(IDS)).max() > 1e-4  # its tokens are much alike
    learning.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(loaded(IDS), learning(IDS))


def test_padding_is_a_token_of_its_own_beside_those_of_the_network(folder, tmp_path):
    """Whose token 0 is one of a text, and whose own padding is its token 1, as of RoBERTa."""
    network = keras_hub.models.BertBackbone.from_preset(str(folder))
    tokens = np.where(IDS == 0, 1, IDS - 1)
    inputs = {"token_ids": tokens, "padding_mask": (IDS > 0).astype(np.int32)}
    vectors = network({**inputs, "segment_ids": 0 * IDS})["sequence_output"]
    shifted = TextBackbone(network, "cls", padding=1)
    np.testing.assert_allclose(shifted(IDS), np.array(vectors)[:, 0], atol=1e-6)
    assert shifted.vocabulary_size == TextBackbone(network).vocabulary_size + 1 == 12
    shifted.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(loaded(IDS), shifted(IDS))
    assert loaded.vocabulary_size == 12


# KerasHub leaves the file of a SentencePiece open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_text_tower_makes_what_its_model_compares_with_pictures(kind, tmp_path):
    captions = ["a red square", "a square that is red, green", "red"]
    folder = str(write_tiny_hub(tmp_path / kind, kind, captions=captions))
    network = keras_hub.models.Backbone.from_preset(folder)
    tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(folder)
    name = type(network).__name__.replace("Backbone", "Preprocessor")
    packed = getattr(keras_hub.models, name)(tokenizer, sequence_length=12)(
        {"prompts": captions, "images": np.zeros((3, 1, 1, 3))}
    )
    tokens, mask = np.array(packed["token_ids"]), np.array(packed["padding_mask"])
    shortest = mask[2].sum()
    assert shortest < mask[0].sum() <= 12
    expected = np.array(network.get_text_embeddings(tokens))
    ids = np.where(mask, tokens + 1, 0)
    backbone = load_text_backbone(folder)
    np.testing.assert_allclose(backbone(ids), expected, atol=1e-5)
    np.testing.assert_allclose(backbone(ids[2:, :shortest]), expected[2:], atol=1e-5)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(loaded(ids), backbone(ids))
    assert (loaded.pooling, loaded.max_length, loaded.licence) == ("cls", 12, "apache-2.0")
    assert loaded.vocabulary_size == tokenizer.vocabulary_size() + 1
    with pytest.raises(MiteError, match=r"text tower makes one vector .* Leave text_backbone"):
        load_text_backbone(folder, "mean")


@pytest.mark.parametrize("bag_of_words", [False, True])
def test_known_features_and_padding_change_no_embedding(backbone, bag_of_words):
    encoder = hub_encoder(backbone, [6, 9], bag_of_words=bag_of_words, embedding_size=4)
    embeddings = np.array(encoder(IDS))
    np.testing.assert_allclose(embeddings, encoder.embed(IDS, backbone(IDS)), atol=1e-6)
    np.testing.assert_allclose(embeddings[:2], encoder(IDS[:2, :4]), atol=1e-6)
    # The bag tells texts apart that have the same features.
    same = np.array(encoder.embed(IDS, np.ones((3, 8), np.float32)))
    assert np.allclose(same[0], same[2], atol=1e-3) != bag_of_words


def test_saved_and_loaded_is_the_same(backbone, tmp_path):
    encoder = hub_encoder(backbone, [7, 9], bag_of_words=True, embedding_size=4)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(IDS), encoder(IDS))
    assert (loaded.backbone.vocabulary_size, loaded.backbone.max_length) == (11, 64)


def test_training_takes_features_and_leaves_the_backbone_alone(backbone):
    keras.utils.set_random_seed(0)
    backbone.trainable = False
    model = MITE(
        ImageEncoder(None, image_head((5,), embedding_size=4)),
        hub_encoder(backbone, [7, 9], bag_of_words=True, embedding_size=4),
        modality_discriminator(4, hidden_sizes=(4,)),
    )
    model.compile(keras.optimizers.AdamW(1e-2))
    random = np.random.default_rng(0)
    batch = {
        "features": random.random((3, 5), np.float32), "image_id": np.arange(3),
        "token_ids": IDS, "caption_image_id": np.arange(3),
    }  # fmt: skip
    before, heads = backbone.get_weights(), model.text_encoder.head.get_weights()
    known = {**batch, "text_features": np.array(backbone(IDS))}
    plain, cached = (model.test_step(each)["loss"] for each in (batch, known))
    assert float(plain) == pytest.approx(float(cached), abs=1e-5)
    model.train_step(known)
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any(
        not np.array_equal(old, new)
        for old, new in zip(heads, model.text_encoder.head.get_weights(), strict=True)
    )


def test_a_share_of_the_text_backbone_learns_from_its_output_down(folder):
    backbone = load_text_backbone(str(folder))
    model = MITE(
        ImageEncoder(None, image_head((5,), embedding_size=4)),
        hub_encoder(backbone, embedding_size=4),
        modality_discriminator(4, hidden_sizes=(4,)),
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        discriminator_optimizer=keras.optimizers.SGD(0.0),
        text_backbone_optimizer=keras.optimizers.SGD(1.0),
    )
    features = np.random.default_rng(0).random((3, 5), np.float32)
    batch = {
        "features": features, "image_id": np.arange(3), "token_ids": IDS,
        "caption_image_id": np.arange(3), "text_features": np.zeros((3, 8), np.float32),
    }  # fmt: skip
    everything = [np.array(weight) for weight in model.weights]
    learned = backbone.learned_variables
    pooler = {each.path for each in backbone.trainable_variables} - {each.path for each in learned}
    assert {path.split("/")[-2] for path in pooler} == {"pooled_dense"}

    def moved(share):
        model.configure_step(text_backbone_share=share)
        model.train_step(batch)
        pairs = zip(model.weights, everything, strict=True)
        return [weight.path for weight, old in pairs if not np.array_equal(weight, old)]

    assert moved(0) == []
    upper = [each.path for each in learned[len(learned) // 2 :]]
    found = moved(0.5)
    assert set(found) <= {*upper}
    assert any("transformer_layer_1" in path for path in found)
    assert not any("token_embedding" in path for path in found)
    assert any("token_embedding" in path for path in moved(1))
    backbone.trainable = False
    with pytest.raises(ValueError, match=r"text_backbone_share=1, .* of the backbone: 0"):
        model.configure_step(text_backbone_share=1)


def test_groups_of_like_length_have_the_features_of_all_at_once(folder):
    encoder = hub_encoder(load_text_backbone(str(folder)), embedding_size=4)
    for count in (1, 3, 11):
        lengths = np.random.default_rng(count).integers(2, 10, count)
        ids = np.where(np.arange(9) < lengths[:, None], 2 + np.arange(9), 0).astype(np.int32)
        expected = encoder.features(ids)
        np.testing.assert_allclose(encoder.features(ids, groups=4), expected, atol=1e-5)


def test_what_is_no_text_network_is_refused(tmp_path):
    with pytest.raises(MiteError, match=r"nowhere: KerasHub cannot load .* Unknown preset"):
        load_text_backbone("nowhere")
    pixels = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="takes token_ids and padding_mask"):
        TextBackbone(keras.Model(pixels, keras.layers.Flatten()(pixels)))


def test_the_bag_of_words_has_a_dropout_of_its_own():
    head = text_head(8, words=[5, 9], vocabulary_size=30, dropout=0.1, bag_dropout=0.6)
    ones = np.ones((512, 64), np.float32)
    for name, share in (("projection_dropout", 0.1), ("projection_dropout_1", 0.6)):
        dropped = np.asarray(head.get_layer(name)(ones, training=True))
        assert np.mean(dropped == 0) == pytest.approx(share, abs=0.02)
