"""Token ids that are remembered word by word are those of `tokenizers`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mite_tf.errors import MiteError
from mite_tf.serving.backends.onnx import _Words


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
