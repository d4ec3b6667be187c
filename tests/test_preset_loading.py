"""Folders of Hugging Face, as they come."""

import base64
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mite_tf.errors import MiteError
from mite_tf.models import hub_backbone, load_text_backbone
from mite_tf.text import load_text_tokenizer
from tests.tiny_bert import write_tiny_bert, write_tiny_roberta, write_tiny_xlm_roberta
from tests.tiny_hub import SIZE, write_tiny_vit
from tests.tiny_text import LINES, byte_pairs, sentence_pieces

pytest.importorskip("keras_hub")
IDS = np.array([[2, 9, 7, 3, 0, 0], [2, 3, 0, 0, 0, 0], [2, 6, 7, 8, 9, 3]], np.int32)


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "bert", "abcdef")


def written(folder, name, **settings):
    """Changes some settings of a file of JSON."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    said = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(said | settings))


def test_pooling_is_as_a_sentence_encoder_says(folder, tmp_path):
    sentences = shutil.copytree(folder, tmp_path / "sentences")
    pooling = "1_Pooling/config.json"
    written(sentences, pooling, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
    assert load_text_backbone(str(sentences)).pooling == "mean"
    written(sentences, pooling, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    assert load_text_backbone(str(sentences)).pooling == "cls"
    assert load_text_backbone(str(sentences), "mean").pooling == "mean"
    written(sentences, pooling, pooling_mode_cls_token=False, pooling_mode_max_tokens=True)
    with pytest.raises(MiteError, match=r"says max_tokens, .*Set text_backbone\."):
        load_text_backbone(str(sentences))
    written(sentences, pooling, pooling_mode="cls")  # as newer ones write it
    assert load_text_backbone(str(sentences)).pooling == "cls"
    written(sentences, pooling, pooling_mode=["mean", "lasttoken"])
    with pytest.raises(MiteError, match=r"says mean and lasttoken, "):
        load_text_backbone(str(sentences))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("hidden_act", "relu"), ("position_embedding_type", "relative_key"), ("is_decoder", True)],
)
def test_what_keras_hub_would_compute_otherwise_is_refused(folder, tmp_path, setting, value):
    other = shutil.copytree(folder, tmp_path / "other")
    plain = {"hidden_act": "gelu_new", "position_embedding_type": "absolute", "is_decoder": False}
    written(other, "config.json", **plain)
    load_text_backbone(str(other))
    written(other, "config.json", **{setting: value})
    with pytest.raises(
        MiteError, match=f"{setting} = {json.dumps(value)}, which KerasHub does not"
    ):
        load_text_backbone(str(other))


def test_what_comes_out_as_another_network_of_timm_is_refused(tmp_path):
    written(tmp_path / "timm", "config.json", architecture="efficientnet_es")
    with pytest.raises(MiteError, match="makes another network of efficientnet_es than timm"):
        hub_backbone(str(tmp_path / "timm"))


def renamed(folder, name_of):
    """Writes weights by other names; what gets none is left out."""
    from safetensors.numpy import load_file, save_file

    file = folder / "model.safetensors"
    weights = {name_of(name): weight for name, weight in load_file(file).items()}
    save_file({name: weight for name, weight in weights.items() if name}, file)


def test_a_bert_without_a_pooler_is_the_same(folder):
    found = load_text_backbone(str(folder))(IDS)
    renamed(folder, lambda name: "" if "pooler" in name else f"bert.{name}")
    np.testing.assert_array_equal(load_text_backbone(str(folder))(IDS), found)


def test_names_may_lack_that_of_the_family(tmp_path):
    folder = write_tiny_vit(tmp_path / "vit")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    found = hub_backbone(str(folder))(pixels)
    renamed(folder, lambda name: name.removeprefix("vit."))
    np.testing.assert_array_equal(hub_backbone(str(folder))(pixels), found)


# KerasHub leaves the file of a SentencePiece open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_roberta_adds_a_type_to_each_token(tmp_path):
    """As XLM-RoBERTa, which is the same network."""
    roberta = write_tiny_roberta(tmp_path / "roberta", *byte_pairs())
    written(roberta, "config.json", hidden_dropout_prob=0.1)
    xlm = write_tiny_xlm_roberta(tmp_path / "xlm", sentence_pieces())
    for name in ("config.json", "model.safetensors"):
        shutil.copy(roberta / name, xlm)
    written(xlm, "config.json", model_type="xlm-roberta")
    ids = IDS + (IDS > 0)  # tokens plus 1
    one, other = (load_text_backbone(str(each)) for each in (xlm, roberta))
    np.testing.assert_allclose(other(ids), one(ids), atol=1e-6)


def bert(folder):
    write_tiny_bert(folder, ["the", "dog", "##s", *"abcdefghij"])
    entries = (folder / "vocab.txt").read_text().split()
    model = {"type": "WordPiece", "vocab": {each: n for n, each in enumerate(entries)}}
    return ["vocab.txt"], model, {"type": "BertNormalizer", "lowercase": True}


def roberta(folder):
    vocabulary, merges = byte_pairs()
    write_tiny_roberta(folder, vocabulary, merges)
    model = {"type": "BPE", "vocab": vocabulary, "merges": [each.split() for each in merges]}
    return ["vocab.json", "merges.txt"], model, None


def xlm_roberta(folder):
    import sentencepiece

    write_tiny_xlm_roberta(folder, sentence_pieces())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=sentence_pieces())
    usual = [(pieces.id_to_piece(n), pieces.get_score(n)) for n in range(3, len(pieces))]
    first = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    model = {"type": "Unigram", "vocab": [*first, *usual, ("<mask>", 0.0)]}
    return ["sentencepiece.bpe.model"], model, charsmap(sentence_pieces())


def charsmap(model):
    from sentencepiece import sentencepiece_model_pb2

    said = sentencepiece_model_pb2.ModelProto.FromString(model).normalizer_spec
    rules = base64.b64encode(said.precompiled_charsmap).decode()
    return {
        "type": "Sequence",
        "normalizers": [{"type": "Precompiled", "precompiled_charsmap": rules}],
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("write", [bert, roberta, xlm_roberta])
def test_a_tokenizer_json_is_enough(tmp_path, write):
    """It is all that Transformers writes since its version 5."""
    folder = tmp_path / "folder"
    files, model, normalizer = write(folder)
    texts = tf.constant([*LINES, "The DOGS"])
    expected = load_text_tokenizer(str(folder), 40)
    for name in files:
        (folder / name).unlink()
    written(folder, "tokenizer.json", added_tokens=[], normalizer=normalizer, model=model)
    found = load_text_tokenizer(str(folder), 40)
    assert found.get_config() | {"name": expected.name} == expected.get_config()
    np.testing.assert_array_equal(found(texts), expected(texts))
