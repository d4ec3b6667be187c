import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.export.tokenizer_json import check_ids, tokenizer_json
from mite_tf.export.verification.cases import captions, random_captions
from mite_tf.text import BertTokenizer, SentencePieceTokenizer, WordPieceTokenizer
from mite_tf.text.sentence_piece_tokenizer import exact
from tests.tiny_text import layers

LATIN = ["a", "##a", "b", "##s", "ss", "dog", "run", "##ner", "1", "##2", ".", "!", "-", "[",
         "\\", "^"]  # fmt: skip
OTHERS = ["é", "e", "##\u0301", "##\u0323", "и", "##\u0306", "σ", "中", "國", "ᄒ", "##ᅡ", "##ᆫ",
          "ア", "ハ", "##\u3099", "²", "İ", "##ª", "🇸", "##🇪", "ก",
          "##\u0e34", "##\u0e48", "##ɐ"]  # fmt: skip
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LATIN, *OTHERS]
# By whether it is that of a BERT, whether case is folded and whether marks are dropped.
LAYERS = {
    (bert, *how): (BertTokenizer if bert else WordPieceTokenizer)(
        VOCABULARY, max_length=500, lower_case=how[0], strip_accents=how[1]
    )
    for bert in (False, True)
    for how in ((True, False), (True, True), (False, False))
}
TOKENIZERS = {how: tokenizer_json(layer) for how, layer in LAYERS.items()}


def assert_same_ids(texts, how=(False, True, False)):
    found = [
        encoding.ids[: sum(encoding.attention_mask)]
        for encoding in TOKENIZERS[how].encode_batch(texts)
    ]
    assert found == LAYERS[how].ragged(texts)[:, :500].to_list()


KNOWN = "".join(LATIN + OTHERS) + (
    " AÁÀÅĳﬁ½Ⅷ①Σςé́ệй\u0301\u0302\u0345\u034f\u200d\ufeff\u3000\x00\xa8\xb4ﾊﾞバﾞ한กิ่ำက္🐕\ufe0f❤⃣🇪🇩"
)


@given(
    st.lists(st.text() | st.text(KNOWN, max_size=150), min_size=1, max_size=20),
    st.sampled_from(sorted(LAYERS)),
)
@settings(max_examples=300, deadline=None)
def test_same_ids_for_any_text_and_for_what_the_vocabulary_knows(texts, how):
    assert_same_ids(texts, how)


@pytest.mark.parametrize("letter", ["a", "и", "中", "ก", "e\u0301", "ก\u0e34\u0e48", "🐕", "ﬁ"])
def test_words_are_cut_at_the_same_length(letter):
    for how in LAYERS:
        assert_same_ids([letter * count for count in range(30, 140)], how)


@pytest.mark.parametrize("how", LAYERS)
def test_same_ids_for_the_cases_of_verification(how):
    assert_same_ids([*captions(48).values(), *random_captions(500)], how)


@pytest.mark.slow
@pytest.mark.parametrize("how", [(False, True, False), (True, True, True), (True, False, False)])
def test_same_ids_for_every_character(how):
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(characters), 50_000):
        some = characters[start : start + 50_000]
        assert_same_ids([f"a{c}a .{c}a e{c}\u0323" for c in some], how)


class TestPretrained:
    """SentencePiece and byte pairs, as they are loaded of a network."""

    KINDS = ("xlm-roberta", "siglip", "roberta", "clip")
    KNOWN = "a dogS's.!?１２～ﬁ(<b>ßΣσςÉ\u0301\u0323ｶﾞ犬ก\u0e34\u200d\u200b▁\t\n\0"
    KNOWN += "\U000f0100\u0898\U0001e030\ua7c0"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _of_kerashub(cls):
        pytest.importorskip("keras_hub")
        cls.layers = layers()
        cls.tokenizers = {kind: tokenizer_json(layer) for kind, layer in cls.layers.items()}

    def same(self, kind, texts):
        found = [
            encoding.ids[: sum(encoding.attention_mask)]
            for encoding in self.tokenizers[kind].encode_batch(texts)
        ]
        layer = self.layers[kind]
        assert found == layer._cut(layer.ragged(texts)).to_list()

    @given(
        st.lists(st.text() | st.text(KNOWN, max_size=150), min_size=1, max_size=20),
        st.sampled_from(KINDS),
    )
    @settings(max_examples=200, deadline=None)
    def test_same_ids_for_any_text_and_for_what_the_vocabulary_knows(self, texts, kind):
        self.same(kind, texts)

    @pytest.mark.parametrize("kind", KINDS)
    def test_same_ids_for_the_cases_of_verification_and_for_long_words(self, kind):
        self.same(kind, [*captions(400).values(), *random_captions(500)])
        self.same(kind, [f"{each * n}s." for each in "a.ก犬!" for n in range(0, 140, 3)])

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_ids_for_every_character(self, kind):
        characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
        for start in range(0, len(characters), 50_000):
            some = characters[start : start + 50_000]
            self.same(kind, [f"a{c}a .{c}a e{c}\u0323 \u0345{c}1" for c in some])

    def test_equal_sums_are_equal_on_both_sides(self):
        """Of scores that single and double precision would round otherwise."""
        pieces = ["[PAD]", "<unk>", "a", "aa", "aaa", "b", "ab", "aab", "aba"]
        scores = exact([-1.1, -2.3, -3.3, -1.3, -2.4, -3.4 - 1e-7, -3.5])
        layer = SentencePieceTokenizer(pieces, [None, None, *scores], 400, prefix=False)
        words = [f"{'a' * n}{rest}" for n in range(1, 120) for rest in ("", "b", "ba", "ab")]
        found = [each.ids for each in tokenizer_json(layer).encode_batch(words)]
        padded = layer(tf.constant(words)).numpy()
        assert [ids[: (row > 0).sum()] for ids, row in zip(found, padded, strict=True)] == [
            row[row > 0].tolist() for row in padded
        ]


def test_cuts_and_pads_like_the_graph():
    layer = WordPieceTokenizer(["[PAD]", "[UNK]", "a"], max_length=3)
    found = tokenizer_json(layer).encode_batch(["a a a a a", "a", ""])
    assert [encoding.ids for encoding in found] == [[2, 2, 2], [2, 0, 0], [0, 0, 0]]
    layer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"], max_length=4)
    found = tokenizer_json(layer).encode_batch(["a a a a a", "a", ""])
    assert [encoding.ids for encoding in found] == [[2, 4, 4, 3], [2, 4, 3, 0], [2, 3, 0, 0]]


def test_a_file_of_another_vocabulary_is_told(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer_json(WordPieceTokenizer(["[PAD]", "[UNK]", "dog", "a"])).save(str(path))
    layer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog"])
    check_ids(path, layer, ["zebra", ""])
    with pytest.raises(MiteError, match="for the caption 'a dog'"):
        check_ids(path, layer, ["zebra", "a dog"])
