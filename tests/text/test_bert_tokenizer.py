"""Ids of BERT, against the tokenizer of Hugging Face that its networks were trained with."""

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mite_tf.text import BertTokenizer, load_text_tokenizer
from tests.tiny_bert import SPECIAL, write_tiny_bert

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEÉéßσςß中国ガカกอ한한"
WORDS = [
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    "dog",
    "##s",
    ".",
    ",",
    "[",
    "]",
    "$",
    "cls",
]
VOCABULARY = [*SPECIAL, *dict.fromkeys(WORDS)]
# By whether case is folded and accents are dropped.
LAYERS = {
    how: BertTokenizer(VOCABULARY, 400, lower_case=how[0], strip_accents=how[1])
    for how in ((True, True), (True, False), (False, False))
}


def of_hugging_face(lower_case, strip_accents):
    tokenizer = Tokenizer(
        models.WordPiece(
            {word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lower_case, strip_accents=strip_accents
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


THEIRS = {how: of_hugging_face(*how) for how in LAYERS}


def assert_as_theirs(texts, how):
    theirs = [each.ids for each in THEIRS[how].encode_batch(texts)]
    assert LAYERS[how].ragged(texts).to_list() == theirs


@pytest.mark.parametrize("how", LAYERS)
def test_ids_are_those_of_hugging_face(how):
    texts = [
        "", "A dog.Dogs,dogs! $dog [CLS]", "ÉÉ é e\u0301 ß ẞ İ", "aΣ ΣaΣ", "中国dogガカ กอ 한",
        "dog\x00s dog\u200bs dog\ufffds a\tb\nc\u3000d\u2028e", "a" * 100, "a" * 101, "dog" * 80,
        "ab" * 60 + "." + "a" * 99, "\U0001f600🇸🇪 \ufb01 ² ﾊﾞ",
    ]  # fmt: skip
    assert_as_theirs(texts, how)


@given(
    st.lists(
        st.text(max_size=30) | st.text(LETTERS + " .[]$\u0301\u00a0", max_size=60), min_size=1
    ),
    st.sampled_from(sorted(LAYERS)),
)
@settings(deadline=None, max_examples=100)
def test_ids_are_those_of_hugging_face_for_any_text(texts, how):
    """But for characters that are newer than the tables of one of both."""
    assume(all(unicodedata.ucd_3_2_0.category(each) not in ("Cn", "Co") for each in "".join(texts)))
    assert_as_theirs(texts, how)


def test_both_ends_stay_where_a_text_is_cut():
    tokenizer = BertTokenizer(VOCABULARY, max_length=4)
    table = tokenizer.table(["a b c d e", "a", "ж ж"])
    a, b, unknown = (VOCABULARY.index(each) for each in ("a", "b", "[UNK]"))
    assert table.ids.tolist() == [[2, a, b, 3], [2, a, 3, 0], [2, unknown, unknown, 3]]
    assert tokenizer(tf.constant(["a b c d e"])).numpy().tolist() == [[2, a, b, 3]]
    assert (table.truncated, table.unknown) == (1, 2 / 5)
    assert tokenizer.knows(["ж a", "ж", "", "[SEP]"]).tolist() == [True, False, False, True]


def test_a_vocabulary_that_is_none_of_a_bert_is_refused():
    with pytest.raises(ValueError, match=r"without \['\[CLS\]'\]"):
        BertTokenizer(["[PAD]", "[UNK]", "[SEP]", "a"])
    for entry in ("a", ""):
        with pytest.raises(ValueError, match="each entry once"):
            BertTokenizer([*SPECIAL, "a", entry])


class TestPreset:
    @pytest.fixture(autouse=True)
    def _hub(self):
        pytest.importorskip("keras_hub")

    @pytest.mark.parametrize("strip", [None, False])
    def test_accents_are_dropped_as_the_folder_says(self, tmp_path, strip):
        folder = write_tiny_bert(tmp_path / "bert", ["e", "é", " "], strip_accents=strip)
        tokenizer = load_text_tokenizer(str(folder), 5, size=9)
        assert tokenizer.vocabulary == [*SPECIAL, "e", "é", "[spare7]", "[spare8]"]
        expected = 5 if strip is None else 6
        assert np.array_equal(tokenizer.table(["É"]).ids, [[2, expected, 3]])
