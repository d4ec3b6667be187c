import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.text import WordPieceTokenizer, learn_vocabulary, read_vocabulary, write_vocabulary

CAPTIONS = [
    "A black dog runs over the snow .",
    "Two children play ; one laughs !",
    "The dogs are running, the children watch",
    "Ein Hund läuft über die Straße",
    "一只狗在雪地里跑",
    "كلب يجري على الثلج",
]


def ids_of(tokenizer, captions):
    return tokenizer(tf.constant(captions)).numpy()


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(
        learn_vocabulary(CAPTIONS * 3, size=200, minimum_count=2), max_length=12
    )


def test_longest_match_first_with_pieces():
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "dog", "##s", "snow", "##man"])
    assert ids_of(tokenizer, ["dogs snowman snowdog cat", ""]).tolist() == [
        [2, 3, 4, 5, 1, 1],  # "snowdog" has no piece "##dog", so the whole word is unknown
        [0, 0, 0, 0, 0, 0],
    ]


def test_unicode_forms_and_case_are_the_same_word(tokenizer):
    composed, decomposed = "L\u00c4UFT stra\u00dfe", "la\u0308uft Stra\u00dfe"
    ids = ids_of(tokenizer, [composed, decomposed, "läuft straße"])
    assert (ids == ids[0]).all()


def test_case_is_kept_when_asked():
    words = ["[PAD]", "[UNK]", "dog", "Dog"]
    assert ids_of(WordPieceTokenizer(words, lower_case=False), ["Dog dog"]).tolist() == [[3, 2]]


def test_vocabulary_learned_from_captions_spells_them_without_unknowns(tokenizer):
    ids = tokenizer.table(CAPTIONS).ids
    assert (ids != 1).all()


def test_minimum_count_keeps_rare_words_out_as_whole_words():
    words = learn_vocabulary(["common word"] * 9 + ["rareword"], size=500, minimum_count=3)
    assert "common" in words
    assert "rareword" not in words


def test_table_equals_the_layer_and_counts_truncated(tokenizer):
    captions = [*CAPTIONS, "dog " * 30, ""]
    table = tokenizer.table(captions, block=3)
    assert table.truncated == 1
    assert table.ids.shape == (len(captions), 12)
    np.testing.assert_array_equal(table.ids, ids_of(tokenizer, captions))


def test_a_serialised_layer_gives_the_same_ids_inside_a_graph(tokenizer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    graph = tf.function(copy, input_signature=[tf.TensorSpec((None,), tf.string)])
    np.testing.assert_array_equal(ids_of(graph, CAPTIONS), ids_of(tokenizer, CAPTIONS))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_gives_ids_of_the_vocabulary(tokenizer, texts):
    table = tokenizer.table([text.replace("\0", "") for text in texts])
    assert table.ids.min() >= 0
    assert table.ids.max() < len(tokenizer.vocabulary)
    for row in table.ids:  # padding stands only on the right
        assert (np.diff((row == 0).astype(int)) >= 0).all()


def test_vocabulary_file_round_trip(tmp_path, tokenizer):
    write_vocabulary(tmp_path / "vocabulary.txt", tokenizer.vocabulary)
    assert read_vocabulary(tmp_path / "vocabulary.txt") == tokenizer.vocabulary


def test_errors_name_the_rule():
    with pytest.raises(MiteError, match="train split"):
        learn_vocabulary(["", " "])
    with pytest.raises(ValueError, match="starts with"):
        WordPieceTokenizer(["dog"])
    with pytest.raises(ValueError, match="max_length=0"):
        WordPieceTokenizer(["[PAD]", "[UNK]"], max_length=0)
