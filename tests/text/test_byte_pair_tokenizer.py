"""Ids of byte pairs, against the tokenizer of Hugging Face as CLIP and RoBERTa set it up."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from mite_tf.errors import MiteError
from mite_tf.text import BytePairTokenizer, load_text_tokenizer
from tests.tiny_text import LINES, byte_pairs, layers, tokenizers_of_kerashub, write_tokenizer

keras_hub = pytest.importorskip("keras_hub")

TEXTS = [
    *LINES, "", "A dog's ball, they'll play!!", "don't 'S don'T it's'm 123 4½", "Éé ǅ ſ İ",
    "a\u0301 ΣΑΣ ẞ 🐕🐕", "'s", "!'s ?ab1", "a" * 64, "<|endoftext|> </s>",
]  # fmt: skip


def of_hugging_face(kind):
    vocabulary, merges = (
        getattr(tokenizers_of_kerashub()[kind], n) for n in ("vocabulary", "merges")
    )
    suffix = {"end_of_word_suffix": "</w>"} if kind == "clip" else {}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, **suffix))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "clip":
        words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(words), "removed", invert=True), tokenizer.pre_tokenizer]
        )
    return tokenizer


@pytest.mark.parametrize("kind", ["clip", "roberta"])
def test_ids_are_those_of_hugging_face(kind):
    """Plus 1, and with both ends around."""
    layer, theirs = layers()[kind], of_hugging_face(kind)
    first, last = (layer.vocabulary.index(each) for each in layer.ends)
    expected = [[first, *(each + 1 for each in theirs.encode(text).ids), last] for text in TEXTS]
    assert layer.ragged(TEXTS).to_list() == expected
    assert layer.vocabulary[1:] == list(tokenizers_of_kerashub()[kind].vocabulary)


MERGES = ["b c", "a b", "a a", "aa a", "ab bc"]


def merged(word):
    """The pair of the least rank, of those the leftmost, again and again."""
    parts = list(word)
    while True:
        pairs = [f"{a} {b}" for a, b in pairwise(parts)]
        ranked = [(MERGES.index(pair), n) for n, pair in enumerate(pairs) if pair in MERGES]
        if not ranked:
            return parts
        _, n = min(ranked)
        parts[n : n + 2] = ["".join(parts[n : n + 2])]


@given(st.lists(st.text("abc", min_size=1, max_size=64), min_size=1, max_size=9))
@settings(deadline=None, max_examples=40)
def test_the_first_of_the_merges_comes_first_and_of_its_places_the_leftmost(words):
    entries = ["[PAD]", "?", "a", "b", "c", "Ġ", *(each.replace(" ", "") for each in MERGES)]
    tokenizer = BytePairTokenizer(entries, MERGES, unknown="?")
    found = tokenizer.ragged(words).to_list()
    assert [[entries[each] for each in ids] for ids in found] == [merged(word) for word in words]


def test_white_space_counts_once_and_long_words_are_cut():
    for layer in (layers()["clip"], layers()["roberta"]):
        one, other = layer.ragged(["a black dog", "\u3000a \t\n black\u00a0\u2028dog "]).to_list()
        assert one == other
        [inside] = layer.pieces(["x" * 130]).to_list()
        parts = layer.pieces(["x" * 64, "x" * 64, "x" * 2]).to_list()
        assert inside == [*parts[0], *parts[1], *parts[2]]
    # What two versions of Unicode would order otherwise is dropped, as NUL is.
    plain, strange = layers()["clip"].ragged(["a dog", "a\0 \u0898dog"]).to_list()
    assert plain == strange


@pytest.mark.parametrize("kind", ["clip", "roberta"])
def test_a_serialised_layer_gives_the_same_ids_inside_a_graph(kind):
    layer = layers()[kind]
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    graph = tf.function(copy.call, input_signature=[tf.TensorSpec((None,), tf.string)])
    np.testing.assert_array_equal(graph(tf.constant(TEXTS)), layer(tf.constant(TEXTS)))
    assert graph(tf.constant([""])).numpy().tolist() == [
        [layer.vocabulary.index(each) for each in layer.ends]
    ]
    assert layer.table(["a dog"]).unknown == 0
    assert layer.knows(["", "a"]).tolist() == [False, True]


def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lacks a byte"):
        BytePairTokenizer(["[PAD]", "a"], [])
    with pytest.raises(ValueError, match="Each merge is of two entries"):
        BytePairTokenizer(["[PAD]", "?", "a", "b"], ["a b"], unknown="?")
    vocabulary, merges = byte_pairs(
        specials=("<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>")
    )
    tokenizer = keras_hub.tokenizers.QwenTokenizer(vocabulary, merges)
    with pytest.raises(MiteError, match="a QwenTokenizer, which cuts words by rules of its own"):
        load_text_tokenizer(str(write_tokenizer(tmp_path, tokenizer)))
