"""Token ids that are remembered word by word are those of `tokenizers`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mite_tf.errors import MiteError
from mite_tf.export.tokenizer_json import tokenizer_json
from mite_tf.serving.backends import open_backend
from mite_tf.serving.backends.onnx import _Words
from mite_tf.text import BertTokenizer
from mite_tf.text.words import beginning
from tests.serving.stubs import close
from tests.tiny_text import layers


@pytest.fixture(scope="module")
def both(export_folder):
    data = (export_folder / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer.from_str(data.decode())
    tokenizer.no_padding()
    return tokenizer, _Words(data, 12)


def same(both, captions):
    tokenizer, words = both
    found = words.ids(captions)
    assert found.dtype == np.int32
    for encoding, row in zip(tokenizer.encode_batch(captions), found, strict=True):
        expected = encoding.ids + [0] * (found.shape[1] - len(encoding.ids))
        assert row.tolist() == expected


@settings(deadline=None)
@given(captions=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text(both, captions):
    same(both, captions)


@settings(deadline=None)
@given(st.text("a dogDOG.,é\t\n\u00a0\u2028\u3000犬각\U0001f600", max_size=200))
def test_words_in_many_spaces(both, caption):
    same(both, [caption])


def test_long_words_and_long_captions(both):
    same(both, ["dog" * 300, "dog " * 300, "é" * 80, "." * 50, ""])
    assert both[1].ids([""]).tolist() == [[0]]


NASTY = "a dogé\n\u0301\u0323\u0345\u0344\u200b\u034f\ufeffǰΐ각ᆨ犬ガﾞ🇸\ufe0f.¨ि⃝\ue000ß"
PARTS = st.lists(st.tuples(st.text(NASTY, min_size=1, max_size=4), st.integers(1, 300)), max_size=6)


@settings(deadline=None, max_examples=80)
@given(PARTS, st.sampled_from([1, 7, 1 << 16]))
def test_no_more_of_a_long_text_counts(both, parts, piece):
    text = "".join(each * times for each, times in parts)
    pieces = (text[start : start + piece] for start in range(0, len(text), piece))
    try:
        cut = beginning(pieces, 2)
    except MiteError:
        return
    ids = both[0].encode(text).ids[:2]
    assert both[0].encode(cut).ids[:2] == ids
    assert both[1].ids([cut])[0, :2].tolist() == (ids or [0])
    assert len(cut) <= 9 * 3 * 64


ENDLESS = {
    "one word": "a" * 1_000_000,
    "words": "a dog runs " * 100_000,
    "han": "犬" * 1_000_000,
    "symbols": "\U0001f600" * 1_000_000,
    "spaces": "a" + " " * 1_000_000 + "dog",
    "line ends": "a\r\n\t\u2028" + "\r\n\u3000" * 300_000 + "dog",
    "invisible": "\u200b\ufeff" * 200_000 + "a dog",
    "nothing": "\u200b \u200d" * 200_000,
    "all characters": "".join(map(chr, range(0x250, 0xD000))) * 10,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_text_without_an_end_costs_what_counts_of_it(both, export, name):
    text = ENDLESS[name]
    data = np.array([b"a dog", text.encode(), b"red"], object)
    expected = export.keras.text(["a dog", text[:9000] if name in ALL else text, "red"])
    for kind in ("onnx", "savedmodel"):
        backend = open_backend(export.path, "text", kind)
        assert backend.costs("serving_default", data)  # not on the event loop
        rows = backend.prepare("serving_default", data)
        assert max(map(len, rows.values)) <= 9 * 13 * 64
        close(backend.run(rows), expected)


# Of these the graph needs long for the whole.
ALL = ("all characters",)


def test_a_text_of_hardly_any_letters_is_refused(export_folder):
    backend = open_backend(export_folder, "text")
    marks = np.array([b"a", ("a" + "\u0301\u0323" * 50_000).encode()], object)
    with pytest.raises(MiteError, match=r"text\[1\]: has .* marks and signs"):
        backend.prepare("serving_default", marks)
    for bad, place in ((b"a" * 70_000 + b"\xff", 70_000), (b"a" * 65_535 + b"\xc3", 65_535)):
        with pytest.raises(MiteError, match=rf"text\[0\]: not valid UTF-8 at byte {place} \(0x"):
            backend.prepare("serving_default", np.array([bad], object))


def test_other_normalizers(both):
    """One that does not map characters by themselves is called for whole captions."""
    from tokenizers import normalizers

    tokenizer = Tokenizer.from_str(both[0].to_str())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    words = _Words(tokenizer.to_str().encode(), 12)
    for caption in ("Dog É", "\u0323\u0307 a"):
        assert words.ids([caption])[0].tolist() == (tokenizer.encode(caption).ids or [0])


def test_nonsense_is_refused():
    with pytest.raises(MiteError, match=r"tokenizer\.json cannot be read"):
        _Words(b"{}", 12)


class TestBert:
    VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *"adgo.", "##o", "##g", "dog", "犬", "e", "é")

    @pytest.fixture(scope="class", params=[True, False])
    @classmethod
    def both(cls, request):
        layer = BertTokenizer(
            cls.VOCABULARY, 9, lower_case=request.param, strip_accents=request.param
        )
        tokenizer = tokenizer_json(layer)
        words = _Words(tokenizer.to_str().encode(), 9)
        tokenizer.no_padding()
        return tokenizer, words

    @settings(deadline=None)
    @given(captions=st.lists(st.text(max_size=30) | st.text(NASTY, max_size=60), min_size=1))
    def test_any_text_is_between_both_ends(self, both, captions):
        same(both, captions)

    def test_what_says_nothing_of_a_text(self, both):
        ids = both[1].ids(["dog", "", "zebra [SEP]", "dog " * 20])
        assert np.isin(ids, both[1].nothing).all(axis=1).tolist() == [False, True, True, False]
        assert ids[3].tolist() == [2, *[11] * 7, 3]


@pytest.mark.parametrize("kind", ["xlm-roberta", "siglip", "roberta", "clip"])
def test_words_of_pretrained_networks(kind):
    pytest.importorskip("keras_hub")
    layer = layers()[kind]
    tokenizer = tokenizer_json(layer)
    words = _Words(tokenizer.to_str().encode(), 400)
    tokenizer.no_padding()
    same((tokenizer, words), ["", "a dog", "A  black dog's (ball)!", "犬が <b>", "ᚠ a", NASTY])
    known = np.isin(words.ids(["", "dog"]), words.nothing).all(axis=1)
    assert known.tolist() == [True, False]
    texts = ["a dog", "", "ᚠ a ᚠ"]
    count, unknown = words.counts(texts)
    assert unknown / count == pytest.approx(layer.table(texts).unknown)
    assert (unknown > 0) == (kind in ("xlm-roberta", "siglip"))  # byte pairs lack nothing
