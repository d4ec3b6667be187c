"""Runs whose encoders are both towers of one contrastive model."""

import shutil

import keras
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.models import load_text_backbone
from mite_tf.runs import build_model, evaluate, train
from mite_tf.runs.build import configured_backbone
from mite_tf.runs.export_run import export_run
from tests.tiny_hub import OFFSET, SCALE, SIZE, write_tiny_hub
from tests.tiny_text import WORDS


@pytest.fixture(params=["clip"])
def of_towers(request, tmp_path, make_config):
    """Both towers of one CLIP, or of one SigLIP."""
    pytest.importorskip("keras_hub")
    towers = str(write_tiny_hub(tmp_path / request.param, request.param, captions=WORDS))
    return make_config(**{
        "backbone.name": towers, "backbone.image_size": SIZE, "image_head.pooling": "average",
        "text_encoder.name": "hub", "text_encoder.bag_of_words": True, "text_backbone.name": towers,
        "text_backbone.pooling": "cls", "embedding.size": 6 if request.param == "clip" else 8,
        "embedding.start": "identity", "embedding.standardize": False,
        "text_encoder.hidden_size": 8, "tokenizer.max_length": 12, "stages.align.epochs": 2,
        "stages.finetune.epochs": 0, "stages.align.inputs": "features",
        "stages.align.backbone_share": 0.0, "stages.classify.epochs": 0,
        "stages.adversarial.epochs": 0, "training.probe_every": 0,
    })  # fmt: skip


# KerasHub leaves the file of a SentencePiece open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.parametrize("of_towers", ["clip", "siglip"], indirect=True)
def test_a_run_on_both_towers_goes_on_and_is_exported_without_them(
    table, captions_file, tmp_path, of_towers
):
    class Stopping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError

    train_on = {"data": captions_file, "quiet": True, "root": table.root}
    with pytest.raises(KeyError):
        train(run=tmp_path / "run", config=of_towers, callbacks=[Stopping()], **train_on)
    towers = of_towers.backbone.name
    shutil.rmtree(towers)
    run = train(run=tmp_path / "run", resume=True, **train_on)
    assert run.finished
    kept = run.history()[int(run.best().name.partition("-")[0]) - 1]
    assert evaluate(run, table, quiet=True).rsum == pytest.approx(kept["rsum"], abs=20)
    manifest = export_run(run, tmp_path / "export", formats=["onnx"], quiet=True)
    assert {"keras", "onnx"} <= {*manifest.recall}  # near ties: the export compares embeddings
    assert manifest.tokenizer["captions_compared"] == 120
    card = " ".join((tmp_path / "export" / "MODEL_CARD.md").read_text().split())
    for name, part in (("image", manifest.image), ("text", manifest.text)):
        assert (part["backbone"], part["licence"]) == (towers, "apache-2.0")
        assert f"The {name} encoder is built on the pretrained network `{towers}`" in card


def build_towers(config):
    text = load_text_backbone(config.text_backbone.name)
    return build_model(
        config, text.vocabulary_size, text_backbone=text, words=range(1, 9),
        image_backbone=configured_backbone(config),
    )  # fmt: skip


def test_both_towers_of_a_model_begin_as_that_model_and_learn(of_towers):
    import keras_hub

    model = build_towers(of_towers)
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (7, SIZE, SIZE, 3)).astype(np.float32)
    tokens = random.integers(0, 9, (5, 12)).astype(np.int32)
    tokens[:, 4:] = [515, *[0] * 7]  # the end of a text, then padding
    ids = np.where(np.arange(12) < 5, tokens + 1, 0)
    clip = keras_hub.models.Backbone.from_preset(of_towers.backbone.name)
    scaled = pixels * np.float32(SCALE) + np.float32(OFFSET)
    logits = clip({"images": scaled, "token_ids": tokens})["vision_logits"]
    expected = np.array(logits) / np.exp(clip.clip_head.logit_scale)

    def similarities():
        return model.image_encoder(pixels).numpy() @ model.text_encoder(ids).numpy().T

    np.testing.assert_allclose(similarities(), expected, atol=1e-5)
    batch = {
        "features": model.image_encoder.backbone(pixels[:5]), "image_id": np.arange(5),
        "text_features": model.text_encoder.backbone(ids), "token_ids": ids,
        "caption_image_id": np.arange(5),
    }  # fmt: skip
    for _ in range(2):
        model.train_step(batch)
    assert np.abs(similarities() - expected).max() > 1e-4
    for name in ("projection", "residual", "projection_1", "residual_1"):
        kernel = model.text_encoder.head.get_layer(name).kernel.numpy()
        assert np.abs(kernel - (np.eye(6) if name == "projection" else 0)).max() > 1e-5


def test_what_would_undo_the_start_is_refused(of_towers):
    text, image = load_text_backbone(of_towers.text_backbone.name), configured_backbone(of_towers)
    features = keras.layers.Reshape((1, 1, 6))(image.output)
    for key, value, needed in (
        ("embedding.size", 8, "embedding.size to 6"),
        ("embedding.standardize", True, "embedding.standardize to false"),
        ("image_head.power", 0.5, "image_head.power to 1"),
        ("image_head.pooling", "max", "image_head.pooling to average"),
        ("backbone.pooling", "mean", "backbone.pooling to cls"),
        ("text_encoder.name", "recurrent", "text_encoder.name to hub"),
    ):
        config = of_towers.with_overrides({"text_encoder": {"name": "hub"}, key: value})
        with pytest.raises(MiteError, match=f"embedding.start is 'identity', .* Set {needed}"):
            build_model(
                config, text.vocabulary_size,
                text_backbone=text if config.text_encoder["name"] == "hub" else None,
                image_backbone=keras.Model(image.input, features) if value == "max" else image,
            )  # fmt: skip
    wider = keras.Model(image.input, keras.layers.Dense(7)(image.output))
    with pytest.raises(MiteError, match=r"pictures have 7 and texts 6\. Name both towers of one"):
        build_model(of_towers, text.vocabulary_size, text_backbone=text, image_backbone=wider)
