"""What may pass is tried again within one deadline; what may not, never."""

import random
import re
import time

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.client import EmbeddingClient, EmbeddingError, call
from tests.serving.client.fake_server import FakeServer, abort, sleep


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"])
def test_what_may_pass_is_tried_again(fake, code):
    fake.faults.extend([abort(code), abort(code)])
    with EmbeddingClient(fake.target) as client:
        assert client.embed_text(["a"]).shape == (1, 3)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    "code", ["INTERNAL", "NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED", "FAILED_PRECONDITION"]
)
def test_what_may_not_pass_is_not(fake, code):
    fake.faults.append(abort(code, "said the server"))
    with (
        EmbeddingClient(fake.target) as client,
        pytest.raises(EmbeddingError, match="said the server") as caught,
    ):
        client.embed_text(["a"])
    assert (caught.value.code, caught.value.server_message) == (code, "said the server")
    assert isinstance(caught.value, MiteError)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_tries_are_counted(fake, retries):
    fake.faults.extend([abort("RESOURCE_EXHAUSTED", "queue is full")] * 9)
    with (
        EmbeddingClient(fake.target, retries=retries) as client,
        pytest.raises(EmbeddingError, match="queue is full") as caught,
    ):
        client.embed_text(["a"])
    assert len(fake.requests) == retries + 1
    assert ("tried 3 times" in str(caught.value)) == (retries == 2)


def test_an_absent_server_counts_only_without_waiting(fake):
    fake.faults.extend([abort("UNAVAILABLE", "no upstream")] * 2)
    with EmbeddingClient(fake.target, retries=1, wait_for_ready=False) as client:
        with pytest.raises(EmbeddingError, match="tried 2 times"):
            client.embed_text(["a"])
        assert len(fake.requests) == 2
    fake.faults.extend([abort("UNAVAILABLE", "no upstream")] * 4)
    with EmbeddingClient(fake.target, retries=0) as client:
        client.embed_text(["a"])
    assert len(fake.requests) == 2 + 5


def test_attempts_share_one_deadline(fake):
    fake.faults.extend([abort("RESOURCE_EXHAUSTED"), sleep(0.3), abort("UNAVAILABLE")])
    with EmbeddingClient(fake.target, timeout=5.0, rows_per_request=1, in_flight=1) as client:
        client.embed_text(["a", "b", "c"])
    assert len(fake.left) == 5
    assert max(fake.left) < 5.01
    assert fake.left[-1] < 4.7  # what the late answer took is gone for all that follow


def test_the_deadline_is_kept(fake):
    fake.faults.extend([abort("RESOURCE_EXHAUSTED", "full"), sleep(30)])
    started = time.monotonic()
    with (
        EmbeddingClient(fake.target) as client,
        pytest.raises(EmbeddingError, match=r"within 0\.4 s.* RESOURCE_EXHAUSTED: full") as caught,
    ):
        client.embed_text(["a"], timeout=0.4)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert 0.3 < time.monotonic() - started < 10


def test_a_late_attempt_is_given_up_and_tried_again(fake):
    fake.faults.append(sleep(30))
    with EmbeddingClient(fake.target, attempt_timeout=1, timeout=20) as client:
        client.embed_text(["a"])
    assert len(fake.requests) == 2


def test_what_was_done_by_the_deadline_is_told(fake):
    fake.faults.extend([None, None, sleep(30)])
    with (
        EmbeddingClient(fake.target, rows_per_request=2, in_flight=1, timeout=1.5) as client,
        pytest.raises(EmbeddingError, match="4 of 10 rows were done"),
    ):
        client.embed_text(["a"] * 10)


def test_a_server_that_comes_late_is_waited_for(fake):
    fake.__exit__()
    with EmbeddingClient(fake.target, timeout=20) as client:
        with pytest.raises(EmbeddingError, match=r"UNAVAILABLE: .*refused") as caught:
            client.embed_text(["a"], timeout=0.5)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        with FakeServer(port=fake.port) as later:
            assert client.embed_text(["a"]).shape == (1, 3)
            assert len(later.requests) == 1


def test_pauses_grow_and_differ(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    assert [round(call._pause(number), 3) for number in range(7)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0
    ]  # fmt: skip
    monkeypatch.undo()
    assert len({call._pause(3) for _ in range(9)}) == 9


@pytest.mark.parametrize(
    ("argument", "value"),
    [("timeout", 0), ("attempt_timeout", -1.0), ("retries", -1), ("in_flight", 0),
     ("rows_per_request", 0), ("max_message_bytes", 5), ("keepalive", 0),
     ("timeout", float("nan")), ("mixed_versions", "maybe"), ("image_model", "text")],
)  # fmt: skip
def test_arguments_without_sense_are_refused(argument, value):
    with pytest.raises(MiteError, match=argument if argument != "image_model" else "must differ"):
        EmbeddingClient("localhost:1", **{argument: value})


def test_a_server_that_does_not_answer_is_told_while_it_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(call, "SILENCE", 0.2)
    with EmbeddingClient("localhost:1", in_flight=2, rows_per_request=1) as client:
        with pytest.raises(EmbeddingError, match=r"within 0\.6 s.*refused.*Is a server running"):
            client.embed_text(["a", "b", "c"], timeout=0.6)
        [told] = [each.getMessage() for each in caplog.records]
        assert re.match(r"localhost:1: no answer .* waiting up to 0\.6 s\. UNAVAILABLE: ", told)
        assert "port of gRPC (8500" in told
        caplog.clear()
        with pytest.raises(EmbeddingError):
            client.embed_text(["a"], timeout=0.1)
        assert not caplog.records


def test_a_slow_server_is_told_of_once_and_a_quick_one_never(monkeypatch, caplog, fake):
    monkeypatch.setattr(call, "SILENCE", 0.2)
    with EmbeddingClient(fake.target, in_flight=1, rows_per_request=1) as client:
        client.embed_text(["a", "b"])
        assert not caplog.records
        fake.faults.extend([sleep(0.4), sleep(0.4)])
        client.embed_text(["a", "b"])
    assert [f"{fake.target}: no answer" in each.getMessage() for each in caplog.records] == [True]


def test_what_a_server_says_is_shown_without_control_characters(fake):
    fake.faults.append(abort("INTERNAL", "\x1b[31mred"))
    with (
        EmbeddingClient(fake.target) as client,
        pytest.raises(EmbeddingError, match=r"INTERNAL: \\x1b\[31mred\.") as caught,
    ):
        client.embed_text(["a"])
    assert caught.value.server_message == "\x1b[31mred"
