"""Ids of SentencePiece, against its own library and what KerasHub does with it."""

import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.errors import MiteError
from mite_tf.text import SentencePieceTokenizer, load_text_tokenizer
from tests.tiny_text import LINES, layers, sentence_pieces, tokenizers_of_kerashub, write_tokenizer

keras_hub = pytest.importorskip("keras_hub")
sentencepiece = pytest.importorskip("sentencepiece")

TEXTS = [
    *LINES, *(unicodedata.normalize("NFD", line) for line in LINES), "", " \n", "  a   dog ",
    "ｶﾞﾗｽ １０～２０ ﬁne ㎏", "a\u200bdog\x01s \ufeff\u2028x", "ᚠᚢᚦ a ᚠ", "a" * 100, "....! ..!!",
]  # fmt: skip


def test_ids_are_those_of_xlm_roberta():
    """Which has <s>, <pad>, </s>, <unk> first: those of SentencePiece plus 1, and 3 for its 0."""
    processor = sentencepiece.SentencePieceProcessor(
        model_proto=tokenizers_of_kerashub()["xlm-roberta"].proto
    )
    network = [
        [0, *(each + 1 if each else 3 for each in ids), 2] for ids in processor.encode(TEXTS)
    ]
    expected = [[each + 1 for each in ids] for ids in network]
    layer = layers()["xlm-roberta"]
    assert layer.ragged(TEXTS).to_list() == expected
    assert layer.vocabulary[:5] == ["[PAD]", "<s>", "<pad>", "</s>", "<unk>"]
    assert layer.vocabulary[-1] == "<mask>"


def test_ids_are_those_of_siglip_that_folds_case_and_drops_punctuation():
    """And of symbols that always stand alone, of which the longest counts."""
    texts = [*TEXTS, "A Dog's ball!", "É ＡＢ …", "<b>a<b> ((a", "Hello, World?"]
    preprocessor = keras_hub.models.SigLIPPreprocessor(
        tokenizers_of_kerashub()["siglip"], sequence_length=200
    )
    found = preprocessor({"prompts": tf.constant(texts), "images": tf.zeros(len(texts))})
    ids, mask = (np.array(found[name]) for name in ("token_ids", "padding_mask"))
    expected = [(row[kept > 0] + 1).tolist() for row, kept in zip(ids, mask, strict=True)]
    assert layers()["siglip"].ragged(texts).to_list() == expected


def test_symbols_stand_alone(tmp_path):
    model = sentence_pieces(user_defined_symbols=["(", "<b>", "(("])
    tokenizer = keras_hub.tokenizers.XLMRobertaTokenizer(model)
    layer = load_text_tokenizer(str(write_tokenizer(tmp_path, tokenizer)), 99)
    texts = ["a (dog) <b>Two(( children<b", "((", "(a( (", "<b><b> x"]
    expected = [(np.array(ids) + 1).tolist() for ids in tokenizer(tf.constant(texts))]
    assert [ids[1:-1] for ids in layer.ragged(texts).to_list()] == expected


def test_what_stands_for_the_network_cannot_be_typed():
    layer = layers()["xlm-roberta"]
    typed, plain = layer.ragged(["[PAD]a <s>dog</s> <un<unk>k> <mask>", "a dog <un k>"]).to_list()
    assert typed == plain
    assert not layer.knows(["</s>", "ᚠ"]).any()
    assert layer.knows(["ᚠ a"]).all()


def test_both_ends_stay_where_a_text_is_cut():
    pieces, scores = ["[PAD]", "<s>", "</s>", "<unk>", "▁a", "▁b"], [None] * 4 + [-1.0, -2.0]
    tokenizer = SentencePieceTokenizer(pieces, scores, 4, ends=("<s>", "</s>"))
    table = tokenizer.table(["a b a b", "b", "c"])
    assert table.ids.tolist() == [[1, 4, 5, 2], [1, 5, 2, 0], [1, 3, 2, 0]]
    assert (table.truncated, table.unknown) == (1, 1 / 4)
    alone = SentencePieceTokenizer(pieces, scores, 2, ends=("", "</s>"), prefix=False)
    assert alone(tf.constant(["a b"])).numpy().tolist() == [[3, 2]]  # "a" has no space before it


@pytest.mark.parametrize("kind", ["xlm-roberta", "siglip"])
def test_a_serialised_layer_gives_the_same_ids_inside_a_graph(kind):
    layer = layers()[kind]
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    graph = tf.function(copy.call, input_signature=[tf.TensorSpec((None,), tf.string)])
    np.testing.assert_array_equal(graph(tf.constant(TEXTS)), layer(tf.constant(TEXTS)))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"model_type": "bpe"}, "is no unigram model"),
        ({"byte_fallback": True, "size": 500}, "cuts unknown characters into bytes"),
        ({"treat_whitespace_as_suffix": True}, "puts spaces behind words"),
        ({"split_by_whitespace": False, "lines": ["a dog a dog"] * 9}, "go on across a space"),
    ],
)
def test_a_vocabulary_of_other_rules_is_refused(tmp_path, settings, why):
    tokenizer = keras_hub.tokenizers.XLMRobertaTokenizer(sentence_pieces(**settings))
    with pytest.raises(MiteError, match=f"{tmp_path}: its SentencePiece vocabulary .*{why}"):
        load_text_tokenizer(str(write_tokenizer(tmp_path, tokenizer)))


def test_errors_name_the_rule():
    with pytest.raises(ValueError, match="lacks </s>"):
        SentencePieceTokenizer(["[PAD]", "<unk>"], [None, None], ends=("", "</s>"))
    with pytest.raises(ValueError, match="have no score"):
        SentencePieceTokenizer(["[PAD]", "<unk>"], [None, -1.0])
    with pytest.raises(ValueError, match="form='NFD'"):
        SentencePieceTokenizer(["[PAD]", "<unk>"], [None, None], form="NFD")
