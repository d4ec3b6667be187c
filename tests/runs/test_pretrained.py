"""Training on a pretrained text backbone, which the run goes on with when its folder is gone."""

import shutil
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from mite_tf.data.images import Preprocessing
from mite_tf.errors import MiteError
from mite_tf.models import TextEncoder
from mite_tf.runs import evaluate, train
from mite_tf.runs.export_run import export_run
from mite_tf.runs.pretrained import pretrained_text
from tests.tiny_bert import write_tiny_bert, write_tiny_xlm_roberta
from tests.tiny_hub import SIZE, write_tiny_hub
from tests.tiny_text import WORDS, byte_pairs, sentence_pieces, write_tiny_text

KINDS = {"bert": "bert", "xlm-roberta": "sentencepiece", "roberta": "bytepair"}


@pytest.fixture
def bert(tmp_path):
    pytest.importorskip("keras_hub")
    return write_tiny_bert(tmp_path / "bert", WORDS)


@pytest.fixture
def config(bert, make_config):
    return make_config(**{
        "text_encoder.name": "hub", "text_encoder.bag_of_words": True,
        "text_backbone.name": str(bert), "tokenizer.minimum_count": 10, "tokenizer.max_length": 9,
        "stages.align.epochs": 2, "stages.finetune.epochs": 0, "stages.classify.epochs": 0,
        "stages.adversarial.epochs": 0, "stages.align.inputs": "features",
        "stages.align.backbone_share": 0.0, "training.probe_every": 0,
    })  # fmt: skip


@pytest.mark.slow
def test_a_run_resumes_when_the_folder_is_gone(table, tmp_path, bert, config):
    class Stop(Exception):
        pass

    class Stopping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise Stop

    whole = train(table, tmp_path / "whole", config=config, quiet=True)
    with pytest.raises(Stop):
        train(table, tmp_path / "run", config=config, callbacks=[Stopping()], quiet=True)
    shutil.rmtree(bert)
    resumed = train(table, tmp_path / "run", resume=True, quiet=True)
    losses = [[row["matching_loss"] for row in run.history()] for run in (whole, resumed)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@pytest.mark.slow
def test_a_run_evaluates_when_the_folder_is_gone(table, tmp_path, bert, config):
    run = train(table, tmp_path / "run", config=config, quiet=True)
    shutil.rmtree(bert)
    history = run.history()
    encoders = run.encoders()
    encoder, ids = encoders.text_encoder, encoders.tokenizer.table(table.captions).ids
    assert isinstance(encoder, TextEncoder)
    features = encoder.backbone(ids)
    np.testing.assert_allclose(
        encoders.embed_text(table.captions), encoder.embed(ids, features), atol=1e-5
    )
    # Of the numbers, which stand in some seven captions each, none is frequent enough.
    known = [
        encoders.tokenizer.vocabulary[each] for each in encoder.head.get_layer("known_words").words
    ]
    assert sorted(known) == sorted(WORDS[:7])
    kept = int(run.best().name.partition("-")[0])
    found = evaluate(run, table, quiet=True).rsum  # of pixels, not of features in float16
    assert found == pytest.approx(history[kept - 1]["rsum"], abs=20)  # one of 12 images is 8
    assert run.hubs() is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_captions_of_many_languages_find_their_pictures(table, tmp_path, config, kind):
    said = {
        "red": ["Ein rotes Quadrat", "สี่เหลี่ยมสีแดง", "赤い四角"],
        "green": ["Ein grünes Quadrat", "สี่เหลี่ยมสีเขียว", "緑の四角"],
        "blue": ["Ein blaues Quadrat", "สี่เหลี่ยมสีน้ำเงิน", "青い四角"],
    }
    lines = [caption for captions in said.values() for caption in captions]
    network = tmp_path / "many"
    if kind == "bert":
        letters = sorted({*"".join(lines).lower()})
        words = [*letters, *(f"##{each}" for each in letters)]
        write_tiny_bert(network, words, strip_accents=False)
    else:
        write_tiny_xlm_roberta(network, sentence_pieces(lines, 80))
    rows = [replace(row, captions=tuple(list(said.values())[n % 3])) for n, row in enumerate(table)]
    run = train(
        replace(table, rows=tuple(rows)), tmp_path / "run", quiet=True,
        config=config.with_overrides({
            "text_backbone.name": str(network), "tokenizer.max_length": 24,
                "stages.align.epochs": 30 if kind == "bert" else 80, "training.averaging": 0.0,
            }),
    )  # fmt: skip
    shutil.rmtree(network)
    encoders = run.encoders()
    assert encoders.tokenizer.kind == KINDS[kind]
    images = encoders.embed_images(table.split("dev").paths)
    for number, captions in enumerate(said.values()):
        assert set((images @ encoders.embed_text(captions).T).argmax(axis=0) % 3) == {number}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "roberta"])
def test_its_export_is_verified_with_the_folder_gone(
    captions_file, table, tmp_path, bert, config, kind
):
    folder = bert
    if kind == "xlm-roberta":
        folder = write_tiny_xlm_roberta(tmp_path / kind, sentence_pieces(table.captions))
    elif kind == "roberta":
        import keras_hub

        vocabulary = byte_pairs(lines=table.captions)
        folder = write_tiny_text(
            tmp_path / kind, keras_hub.tokenizers.RobertaTokenizer(*vocabulary)
        )
    config = config.with_overrides({"text_backbone.name": str(folder)})
    run = train(captions_file, tmp_path / "run", config=config, quiet=True, root=table.root)
    shutil.rmtree(folder)
    assert train(captions_file, run.path, resume=True, quiet=True, root=table.root).finished
    manifest = export_run(run, tmp_path / "export", int8=True, quiet=True)
    assert manifest.tokenizer["kind"] == KINDS[kind]
    assert manifest.tokenizer["captions_compared"] == 120
    assert manifest.text["backbone"] == str(folder)
    assert {"keras", "onnx"} <= {*manifest.recall}  # near ties: the export compares embeddings
    assert str(folder) in (tmp_path / "export" / "MODEL_CARD.md").read_text()


@pytest.fixture
def of_pictures(config, tmp_path):
    """Both sides pretrained: the image tower of a SigLIP beside the text network."""
    return config.with_overrides({
        "backbone.name": str(write_tiny_hub(tmp_path / "siglip", "siglip")),
        "backbone.image_size": SIZE, "image_head.pooling": "average",
    })  # fmt: skip


@pytest.mark.slow
def test_a_stage_that_trains_the_text_backbone_goes_on_from_anywhere(table, tmp_path, config):
    learning = config.with_overrides({
        "text_backbone.pooling": "generalized",
        "stages.align.text_backbone_share": 0.5, "stages.align.text_backbone_rate_factor": 1.0,
        "stages.finetune.epochs": 1, "stages.finetune.inputs": "features",
        "stages.finetune.backbone_share": 0.0,
    })  # fmt: skip

    class Stopping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError

    whole = train(table, tmp_path / "whole", config=learning, quiet=True)
    with pytest.raises(KeyError):
        train(table, tmp_path / "run", config=learning, callbacks=[Stopping()], quiet=True)
    resumed = train(table, tmp_path / "run", resume=True, quiet=True)
    states = [dict(np.load(run.state)) for run in (whole, resumed)]
    learned = [name for name, each in states[0].items() if each.dtype == np.float32]
    for name in learned:
        np.testing.assert_array_equal(states[0][name], states[1][name])
    first, last = (whole.encoders(stage) for stage in ("align", "finetune"))
    began = pretrained_text(learning).backbone.get_weights()
    learned, rested = (each.text_encoder.backbone.get_weights() for each in (first, last))
    assert any(not np.array_equal(a, b) for a, b in zip(began, learned, strict=True))
    # Features of the second stage are those of the backbone that has learned.
    texts = table.captions[:9]
    ids = last.tokenizer.table(texts).ids
    expected = last.text_encoder.embed(ids, last.text_encoder.backbone(ids))
    np.testing.assert_allclose(last.embed_text(texts), expected, atol=1e-5)
    assert len(learned) == len(rested)
    export_run(whole, tmp_path / "export", formats=["onnx"], quiet=True)  # compares with Keras


@pytest.mark.slow
def test_an_image_network_is_kept_in_the_run_with_all_that_it_needs(
    table, captions_file, tmp_path, bert, of_pictures
):
    (bert / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n")
    run = train(captions_file, tmp_path / "run", config=of_pictures, quiet=True, root=table.root)
    for folder in (bert, tmp_path / "siglip"):
        shutil.rmtree(folder)
    assert train(captions_file, run.path, resume=True, quiet=True, root=table.root).finished
    encoders = run.encoders()
    assert encoders.preprocessing == Preprocessing(SIZE, SIZE, "bicubic")
    assert encoders.image_encoder.backbone.output_shape == (None, 8)
    manifest = export_run(run, tmp_path / "export", formats=["onnx"], quiet=True)
    assert {"keras", "onnx"} <= {*manifest.recall}  # near ties: the export compares embeddings
    assert manifest.preprocessing["resize"] == "bicubic"
    assert (manifest.image["licence"], manifest.text["licence"]) == ("apache-2.0", "mit")
    card = " ".join((tmp_path / "export" / "MODEL_CARD.md").read_text().split())
    assert f"network `{tmp_path / 'siglip'}`, which is in this folder: its licence, `apache" in card


def test_a_stage_of_a_size_that_the_network_does_not_take_is_refused(table, tmp_path, of_pictures):
    sizes = {"stages.finetune.epochs": 1, "stages.finetune.image_size": 16}
    with pytest.raises(MiteError, match=r"stages\.finetune\.image_size is 16, .* of 32 px alone"):
        train(table, tmp_path / "run", config=of_pictures.with_overrides(sizes), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_share_of_no_text_backbone_is_refused(tmp_path, make_config):
    share = {"stages.align.text_backbone_share": 0.5}
    with pytest.raises(MiteError, match=r"align\.text_backbone_share is above 0, but there is no"):
        train("nowhere", tmp_path / "run", config=make_config(**share))


def test_a_learned_pooling_that_no_stage_trains_is_refused(tmp_path, config):
    share = {"stages.finetune.epochs": 0, "stages.finetune.text_backbone_share": 0.5}
    rests = config.with_overrides({"text_backbone.pooling": "generalized", **share})
    with pytest.raises(MiteError, match=r"is learned, but no stage trains it\."):
        train("nowhere", tmp_path / "run", config=rests)


def test_what_a_hub_encoder_needs_is_told_before_the_data_is_looked_at(tmp_path, make_config):
    hub = {"text_encoder.name": "hub"}
    with pytest.raises(MiteError, match=r"name the network in text_backbone\.name"):
        train("nowhere", tmp_path / "run", config=make_config(**hub))
    with pytest.raises(MiteError, match="'bag-of-words', which has no backbone"):
        train("nowhere", tmp_path / "run", config=make_config(**{"text_backbone.name": "bert"}))


def test_a_network_that_does_not_fit_is_refused(bert, config):
    long = config.with_overrides({"tokenizer.max_length": 65})
    with pytest.raises(MiteError, match=r"max_length is 65, and .* takes 64 tokens"):
        pretrained_text(long)
    vocabulary = bert / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text() + "more\n")
    with pytest.raises(MiteError, match="has 20 entries, and the network knows 19"):
        pretrained_text(config)


def test_without_keras_hub_the_command_that_installs_it_is_told(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MiteError, match=r"needs keras_hub, which is not installed.*\[hub\]"):
        pretrained_text(config)
