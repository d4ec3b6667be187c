import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.text import (
    WordPieceTokenizer,
    learn_vocabulary,
    read_vocabulary,
    split_words,
    write_vocabulary,
)
from mite_tf.text.tokenizer import split_in_graph
from mite_tf.text.words import beginning

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


# Scripts that put no spaces between words.
UNSPACED = {
    "Thai": "สุนัขวิ่งบนชายหาดที่มีคลื่นลมแรงในตอนเช้า",
    "Lao": "ໝາແລ່ນຢູ່ຫາດຊາຍ",
    "Khmer": "ឆ្កែរត់លើឆ្នេរខ្សាច់",
    "Myanmar": "ခွေးသည်ကမ်းခြေပေါ်တွင်ပြေးနေသည်",
    "Japanese": "いぬがはまべをはしるスケートボード",
    "Chinese": "一只狗在沙滩上跑",
    "Tibetan": "ཁྱི་རྒྱུག",
    "Javanese": "ꦱꦼꦒꦮꦺꦴꦤ꧀",
    "Yi": "ꀀꀁꀂꀃ",
    "rare Han": "\U00020000\U0002a6d0\U0002ceb0\U00030000\U00031350",
}


@pytest.mark.parametrize("script", UNSPACED)
def test_scripts_without_spaces_are_words_of_one_character(script):
    text = UNSPACED[script] * 9  # as one word these had been unknown, beyond 100 bytes
    words = split_words(text)
    assert len(words) > len(text) / 3
    tokenizer = WordPieceTokenizer(learn_vocabulary([text], size=400), max_length=1000)
    ids = ids_of(tokenizer, [text, text[:-1], text[1:]])
    assert (ids != 1).all()
    assert len({tuple(row) for row in ids}) == 3


@pytest.mark.parametrize(
    "word",
    [
        *("x" * 300, "ACGT" * 99, "Donaudampfschiff" * 9, "д" * 200, "🐕" * 80),
        *("e\u0301\u0323" * 99, "https://example.org/" + "a1b2" * 50, "a" + "\u0301" * 500),
    ],
)
def test_a_long_word_is_cut_and_not_unknown(word):
    tokenizer = WordPieceTokenizer(learn_vocabulary([word]), max_length=5000)
    ids = ids_of(tokenizer, [word, word * 2])
    assert (ids != 1).all()
    assert (ids[0] != ids[1]).any()


@pytest.mark.parametrize(
    "different",
    ["ガラス カラス", "ma má mà mả mã mạ", "schon schön", "के कै कु", "ผี ผี่ ผี้", "עָם עִם",
     "כ כּ", "كَتَبَ كُتِبَ", "é è e", "ı i", "й и"],
)  # fmt: skip
def test_marks_that_carry_meaning_are_kept(different):
    words = different.split()
    tokenizer = WordPieceTokenizer(learn_vocabulary(words * 3))
    assert len({tuple(row) for row in ids_of(tokenizer, words)}) == len(words)
    stripped = WordPieceTokenizer(tokenizer.vocabulary, strip_accents=True)
    if different != "ı i":
        assert len({tuple(row) for row in ids_of(stripped, words)}) < len(words)


def test_flags_are_told_apart():
    flags = ["🇸🇪", "🇪🇸", "🇸🇪🇸", "🇸", "🇸🇪🇪🇸"]  # Sweden, Spain, …
    for count in (1, 3):  # the pairs are in the vocabulary, or their letters alone
        tokenizer = WordPieceTokenizer(learn_vocabulary(flags, minimum_count=count))
        bags = [tuple(sorted(row[row > 0].tolist())) for row in ids_of(tokenizer, flags)]
        assert len(set(bags)) == len(flags)
    assert split_words("a🇸🇪🇸\u0301b") == ("a", "🇸🇪", "🇸\u0301", "b")


@pytest.mark.parametrize(
    "same",
    [["ガ", "カ\u3099", "ｶﾞ"], ["ệ", "e\u0323\u0302", "ê\u0323", "Ẹ\u0302"], ["STRASSE", "straße"],
     ["ΣΟΦΟΣ", "σοφος"], ["한", "\u1112\u1161\u11ab"], ["ﬁne", "Fine"], ["İ", "i\u0307"],
     ["ᾴ", "α\u0345\u0301"], ["می\u200cخواهم", "میخواهم"], ["❤\ufe0f", "❤"], ["①", "1"]],
)  # fmt: skip
def test_one_word_typed_in_two_ways_has_the_same_ids(same):
    tokenizer = WordPieceTokenizer(learn_vocabulary(same[:1]))
    ids = ids_of(tokenizer, same)
    assert (ids == ids[0]).all()
    assert (ids != 1).all()


def test_a_symbol_does_not_make_the_word_beside_it_unknown():
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "dog", "!"])
    assert ids_of(tokenizer, ["dog🐕🐕! dog♥"]).tolist() == [[2, 1, 1, 3, 2, 1]]


@given(st.text(max_size=60), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=300)
def test_words_are_those_of_plain_python(text, lower_case, strip_accents):
    assume(not any(unicodedata.category(character) in ("Cn", "Cs") for character in text))
    [found] = split_in_graph([text], lower_case, strip_accents).to_list()
    expected = split_words(text, lower_case=lower_case, strip_accents=strip_accents)
    assert tuple(word.decode() for word in found) == expected


def test_a_tokenizer_saved_before_marks_were_kept_goes_on_without_them():
    words = ["[PAD]", "[UNK]", "cafe", "café"]
    old = WordPieceTokenizer.from_config({"vocabulary": words, "max_length": 9, "lower_case": True})
    assert ids_of(old, ["Café"]).tolist() == [[2]]
    config = WordPieceTokenizer([*words[:3], "cafe\u0301"]).get_config()
    assert ids_of(WordPieceTokenizer.from_config(config), ["Café"]).tolist() == [[3]]


def test_the_table_tells_the_share_of_unknown_words():
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog"])
    assert tokenizer.table(["a dog", "a cat"]).unknown == 0.25
    assert tokenizer.table([""]).unknown == 0
    assert tokenizer.knows(["a cat", "cat", ""]).tolist() == [True, False, False]


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
    for nothing in ([], ["", " "], ["\u200b\ufeff", "\0\x1b", "\ufe0f", "\u0301\u0323"]):
        with pytest.raises(MiteError, match="train split"):
            learn_vocabulary(nothing)
    with pytest.raises(ValueError, match="starts with"):
        WordPieceTokenizer(["dog"])
    with pytest.raises(ValueError, match="max_length=0"):
        WordPieceTokenizer(["[PAD]", "[UNK]"], max_length=0)


NASTY = "a dogÉ\n\0\u0301\u0323\u0345\u0344\u200b\u034f\ufeff\u1160ǰΐİ각ᆨ犬ガﾞ🇸\ufe0f.¨ि⃝\ue000ßﷺ"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.text(NASTY, max_size=4) | st.text(max_size=2), st.integers(1, 200)), max_size=6
    ),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
def test_the_beginning_of_a_text_has_its_first_words(parts, words, lower_case, strip_accents):
    text = "".join(each * times for each, times in parts)
    try:
        cut = beginning([text], words)
    except MiteError:
        assume(False)
    whole, first = split_in_graph([text, cut], lower_case, strip_accents).to_list()
    assert first[:words] == whole[:words]


def test_what_stands_in_a_row_for_no_word_is_squeezed():
    assert beginning(["a\u200b \u200d", "\n\u3000\tdog"], 2) == "a dog"
    assert beginning(["a\u200b\u200d\ufeffdog"], 2) == "a\u200bdog"
