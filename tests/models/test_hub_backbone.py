"""Image networks of KerasHub as backbones."""

import keras
import numpy as np
import pytest

from mite_tf.cli import main
from mite_tf.errors import MiteError
from mite_tf.models import (
    ImageEncoder,
    file_backbone,
    hub_backbone,
    image_head,
    load_backbone,
    write_backbone,
)
from mite_tf.models.backbone_checks import probe
from mite_tf.models.resizing import picture_input, resized_backbone
from tests.tiny_hub import OFFSET, SCALE, SIZE, write_tiny_hub, write_tiny_vit

keras_hub = pytest.importorskip("keras_hub")
PIXELS = np.random.default_rng(1).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
SCALED = PIXELS * np.float32(SCALE) + np.float32(OFFSET)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = write_tiny_hub(tmp_path_factory.mktemp("hub") / kind, kind)
        return str(made[kind])

    return make


def expected(folder, kind):
    """What the network itself makes of pixels that its own converter would give it."""
    network = keras_hub.models.Backbone.from_preset(folder(kind))
    if kind == "resnet":
        features = np.array(network(SCALED))
        return {"map": features, "cls": features.mean((1, 2))}
    tower = getattr(network, "vision_encoder", network)
    if kind == "siglip":
        tower = keras.Model(tower.input, tower.post_layer_norm.output)
    inputs = tower.input
    given = {next(iter(inputs)): SCALED} if isinstance(inputs, dict) else SCALED
    tokens = np.array(tower(given))
    before = tokens.shape[1] - 16
    if kind == "swin":  # has no class token, and merges four patches of 2 x 2 px
        patches = tokens.reshape(2, 8, 8, -1)
        return {"map": patches, "cls": patches.mean((1, 2))}
    assert before == {"vit": 1, "dinov2": 3, "dinov3": 5, "siglip": 0, "clip": 1}[kind]
    patches = tokens[:, before:].reshape(2, 4, 4, -1)
    own = tokens[:, 0]
    if kind in ("siglip", "clip"):
        own = np.array(network.get_vision_embeddings(SCALED))
    return {"map": patches, "cls": own, "mean": patches.mean((1, 2))}


OTHERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("dinov3", "clip", "swin")]


@pytest.mark.parametrize("kind", ["vit", "dinov2", "siglip", "resnet", *OTHERS])
def test_features_are_those_of_the_network_of_its_own_values(folder, kind):
    wanted = expected(folder, kind)
    for name in ("map", "cls", "mean") if kind == "vit" else ("map", "cls"):
        pooling = {} if name == "map" else {"pooling": name}
        backbone = hub_backbone(folder(kind), feature_map=name == "map", **pooling)
        assert backbone.input_shape == (None, SIZE, SIZE, 3)
        found = backbone(PIXELS, training=False)
        np.testing.assert_allclose(found, wanted[name], rtol=1e-4, atol=1e-5)
        assert backbone.output_shape[1:] == found.shape[1:]
    probe(backbone)
    assert picture_input(backbone).resize == "bicubic"
    assert picture_input(backbone).licence == "apache-2.0"


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_a_written_backbone_is_the_same_and_needs_no_folder(folder, kind, tmp_path):
    written = write_backbone(tmp_path / "it.keras", folder(kind), pooling="cls")
    opened = file_backbone(tmp_path / "it.keras", feature_map=False, image_size=SIZE)
    np.testing.assert_allclose(opened(PIXELS), written(PIXELS), atol=1e-5)
    assert picture_input(opened).resize == "bicubic"
    head = image_head(opened.output_shape[1:], embedding_size=4)
    learned = ImageEncoder(opened, head).backbone_variables
    for weight in learned:  # as a training does
        weight.assign(weight + 0.1)
    opened.save(tmp_path / "trained.keras")
    again = keras.saving.load_model(tmp_path / "trained.keras")
    for one, other in zip(again.get_weights(), opened.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(again(PIXELS), opened(PIXELS), atol=1e-5)


def test_sizes_that_the_layers_do_not_allow_are_refused(folder, tmp_path):
    with pytest.raises(MiteError, match=r"allow images of 48 px. Set backbone.image_size to 32"):
        load_backbone(folder("vit"), image_size=48, weights=None, feature_map=False)
    backbone = write_backbone(tmp_path / "vit.keras", folder("vit"), pooling="mean")
    with pytest.raises(MiteError, match=r"allow images of 48 px.*image_size to 32"):
        file_backbone(tmp_path / "vit.keras", feature_map=True, image_size=48)
    with pytest.raises(ValueError, match="expected shape=\\(None, 32, 32, 3\\)"):
        resized_backbone(backbone, 48)
    larger = hub_backbone(folder("dinov2"), image_size=64)
    assert larger.output_shape == (None, 8, 8, 8)
    assert hub_backbone(folder("resnet"), image_size=64).output_shape == (None, 8, 8, 64)


def test_a_file_with_a_vector_gives_the_map_where_its_mean_is_cut_off(folder, tmp_path):
    write_backbone(tmp_path / "vit.keras", folder("vit"), pooling="mean")
    features = file_backbone(tmp_path / "vit.keras", feature_map=True)
    np.testing.assert_allclose(
        features(PIXELS), expected(folder, "vit")["map"], rtol=1e-4, atol=1e-5
    )


def test_a_folder_of_hugging_face_is_taken_with_its_values(tmp_path):
    mean, deviation = [0.1, 0.2, 0.3], [0.5, 0.25, 0.2]
    vit = write_tiny_vit(
        tmp_path / "vit", image_mean=mean, image_std=deviation, rescale_factor=1 / 255, resample=3
    )
    backbone = hub_backbone(str(vit), feature_map=False)
    scaled = ((PIXELS / 255 - mean) / deviation).astype(np.float32)
    tokens = keras_hub.models.ViTBackbone.from_preset(str(vit))(scaled)
    np.testing.assert_allclose(backbone(PIXELS), tokens[:, 0], rtol=1e-4, atol=1e-5)
    assert picture_input(backbone).resize == "bicubic"
    assert picture_input(backbone).licence == ""
    (vit / "preprocessor_config.json").unlink()
    with pytest.raises(MiteError, match="does not say which values its pixels are to have"):
        hub_backbone(str(vit))


def test_the_command_writes_a_vector_of_a_folder(folder, tmp_path, capsys):
    out = tmp_path / "siglip.keras"
    assert main(["backbone", folder("siglip"), "--pooling", "cls", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "32 x 32 pixels in 0-255 to features 8, " in told
    assert f"--set backbone.name={out} --set backbone.image_size=32" in told
    assert main(["backbone", folder("vit"), "--size", "48", "--out", str(out)]) == 2
    assert "Set backbone.image_size to 32." in capsys.readouterr().err


def test_what_is_no_image_network_is_refused(tmp_path):
    tower = keras_hub.models.BertBackbone(30, 1, 2, 8, 16)
    tower.save_to_preset(tmp_path / "bert")
    with pytest.raises(MiteError, match=r"BertBackbone, which takes .*token_ids.*Name a ViT"):
        hub_backbone(str(tmp_path / "bert"))
    with pytest.raises(MiteError, match="cannot load this as an image network"):
        hub_backbone("nowhere")
