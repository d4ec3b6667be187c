"""Large inputs become requests that a server takes, side by side, and come back in order."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.serving.client import EmbeddingClient, EmbeddingError
from mite_tf.serving.client.protocol import PredictQuestion
from mite_tf.serving.client.rows import chunked, text_rows
from mite_tf.serving.wire.tensors import to_tensor
from tests.serving.client.fake_server import abort, embedding_of, sleep

TEXTS = [f"caption {number}" for number in range(100)]
EXPECTED = np.array([embedding_of(text.encode()) for text in TEXTS], np.float32)


def test_order_holds_when_answers_overtake_each_other(fake):
    random.seed(0)
    fake.faults.extend(sleep(random.uniform(0.01, 0.05)) for _ in range(25))
    with EmbeddingClient(fake.target, rows_per_request=4, in_flight=5) as client:
        np.testing.assert_array_equal(client.embed_text(TEXTS), EXPECTED)
    assert sorted(fake.rows()) == [4] * 25
    assert fake.most_at_once == 5


@given(
    sizes=st.lists(st.integers(0, 600), max_size=40),
    most=st.integers(1, 7),
    most_bytes=st.integers(1200, 3000),
)
def test_every_message_fits(sizes, most, most_bytes):
    texts = ["x" * size for size in sizes]
    chunks = list(chunked(text_rows(texts), most=most, most_bytes=most_bytes))
    assert [row.value.decode() for chunk in chunks for row in chunk.rows] == texts
    assert [chunk.start for chunk in chunks] == np.cumsum(
        [0, *(len(chunk.rows) for chunk in chunks)]
    ).tolist()[:-1]
    for chunk in chunks:
        assert 1 <= len(chunk.rows) <= most
        question = PredictQuestion(model="text", version=1 << 60, rows=chunk.values,
                                   signature="serving_default", input="text")  # fmt: skip
        assert question.request().ByteSize() <= most_bytes


def test_default_limit_of_grpc_is_kept_and_reached(fake):
    texts = ["x" * (1 << 20)] * 9  # three fit into 4 MB, four do not
    with EmbeddingClient(fake.target) as client:
        assert client.embed_text(texts).shape == (9, 3)
        assert sorted(fake.rows()) == [3, 3, 3]
        with pytest.raises(MiteError, match=r"texts\[1\] takes 5000006 bytes; a request may"):
            client.embed_text(["short", "x" * 5_000_000])


def test_large_replies_are_read(fake, monkeypatch):
    long = [0.5] * 200_000
    monkeypatch.setattr("tests.serving.client.fake_server.embedding_of", lambda row: long)
    with EmbeddingClient(fake.target) as client:
        assert client.embed_text(TEXTS[:8]).shape == (8, 200_000)  # 6.4 MB


def test_a_message_too_large_for_the_server_is_not_sent_again(fake):
    with (
        EmbeddingClient(fake.target, max_message_bytes=8 << 20) as client,
        pytest.raises(EmbeddingError, match="smaller max_message_bytes") as caught,
    ):
        client.embed_text(["x" * 5_000_000])
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert not fake.requests


def test_empty_input_has_the_size_of_the_model(fake):
    with EmbeddingClient(fake.target) as client:
        found = client.embed_text([])
    assert (found.shape, found.dtype) == ((0, 3), np.float32)
    assert not fake.requests


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a dog", "texts is a single str"),
        (b"a dog", "texts is a single bytes"),
        (None, "texts is a single NoneType"),
        (["a", b"b"], r"texts\[1\] is of type bytes"),
        (["a", "\ud800"], r"texts\[1\] cannot be written as UTF-8: character 0"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(fake, texts, message):
    with EmbeddingClient(fake.target) as client, pytest.raises(MiteError, match=message):
        client.embed_text(texts)
    assert not fake.requests


def test_texts_may_come_from_anywhere(fake):
    with EmbeddingClient(fake.target) as client:
        for texts in (tuple(TEXTS), np.array(TEXTS), (text for text in TEXTS)):
            np.testing.assert_array_equal(client.embed_text(texts), EXPECTED)


@pytest.mark.parametrize("bad", range(7))
def test_the_refused_row_is_named(fake, bad):
    texts = [f"BAD {number}" if number == bad else f"{number}" for number in range(7)]
    with (
        EmbeddingClient(fake.target, rows_per_request=7) as client,
        pytest.raises(EmbeddingError, match=rf"texts\[{bad}\]: .*one of them is bad") as caught,
    ):
        client.embed_text(texts)
    assert (caught.value.code, caught.value.server_message) == (
        "INVALID_ARGUMENT", "one of them is bad"
    )  # fmt: skip
    assert len(fake.requests) < 11


@pytest.mark.parametrize(
    ("said", "times", "message"),
    [
        ("no such label", 20, r"no such label\. Other rows than texts\[0\] are refused"),
        ("Task size 8 is larger than maximum 4", 3, "smaller rows_per_request"),
    ],
)
def test_no_row_is_blamed_for_what_no_row_can_help(fake, said, times, message):
    fake.faults.extend([abort("INVALID_ARGUMENT", said)] * times)
    with EmbeddingClient(fake.target) as client, pytest.raises(EmbeddingError, match=message):
        client.embed_text(TEXTS[:8])


@pytest.mark.parametrize("count", [1, 8])
def test_what_is_refused_for_the_rows_of_others_is_sent_again(fake, count):
    fake.faults.extend([abort("INVALID_ARGUMENT", "Expected image (JPEG, PNG, or GIF)")] * 2)
    with EmbeddingClient(fake.target) as client:
        found = client.embed_text(TEXTS[:count])
    np.testing.assert_array_equal(found, EXPECTED[:count])
    assert fake.rows() == [count] * 3


def test_an_error_ends_what_is_under_way(fake):
    fake.faults.extend([sleep(0.2), abort("INTERNAL", "broken"), *[sleep(5)] * 10])
    started = time.monotonic()
    with (
        EmbeddingClient(fake.target, rows_per_request=1, in_flight=4) as client,
        pytest.raises(EmbeddingError, match="INTERNAL: broken"),
    ):
        client.embed_text(TEXTS)
    assert time.monotonic() - started < 3
    assert len(fake.requests) <= 8
    assert not [each for each in threading.enumerate() if each.name.startswith("embedding")]


def test_progress_counts_rows(fake):
    seen = []
    with EmbeddingClient(fake.target, rows_per_request=32) as client:
        client.embed_text(TEXTS, progress=lambda done, total: seen.append((done, total)))
        client.embed_text(TEXTS, progress=True)  # no terminal: prints nothing
    assert seen[-1] == (100, 100)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) == 4


def test_features_keep_their_shape(fake):
    features = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    with EmbeddingClient(fake.target, rows_per_request=3) as client:
        found = client.embed_features(features)
    expected = [embedding_of(each.tobytes()) for each in features]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert {each.model_spec.signature_name for each in fake.requests} == {"features"}


def test_a_reply_of_another_model_is_told(fake, monkeypatch):
    monkeypatch.setattr(
        "tests.serving.client.fake_server.to_tensor", lambda values: to_tensor(values.astype(float))
    )
    with EmbeddingClient(fake.target) as client, pytest.raises(EmbeddingError, match="float64"):
        client.embed_text(["a"])


def test_many_threads_share_a_client(fake):
    with EmbeddingClient(fake.target, rows_per_request=3) as client, ThreadPoolExecutor(6) as pool:
        parts = [TEXTS[start : start + 10] for start in range(0, 60, 10)]
        found = np.concatenate(list(pool.map(client.embed_text, parts)))
    np.testing.assert_array_equal(found, EXPECTED[:60])


def test_a_closed_client_says_so(fake):
    client = EmbeddingClient(fake.target)
    client.close()
    client.close()
    with pytest.raises(MiteError, match="closed"):
        client.embed_text(["a"])
