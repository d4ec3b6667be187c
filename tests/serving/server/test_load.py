"""Queues that fill, callers that vanish, requests that fail, and what is counted of them."""

import base64
import json
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.serving.backends import backend
from mite_tf.serving.server import start_server
from mite_tf.serving.server.batcher import Batcher
from tests.data.test_image_costs import bomb
from tests.serving.server.under_test import (
    ONE,
    SlowModel,
    asked_in_threads,
    metrics,
    wait_until,
)
from tests.serving.stubs import close, images, stubs_of

QUEUE = 'mite_serving_queue_length{model_name="text"}'
COUNT = ':tensorflow:serving:request_count{model_name="%s",status="%s"}'


@pytest.fixture
def held(export_folder, monkeypatch):
    """A model that is held, a server of it that answers one batch at a time, and its stubs."""
    model = SlowModel(monkeypatch)
    with start_server(export_folder, batching=ONE) as running, stubs_of(running.port) as stubs:
        model.on = True
        yield model, running, stubs


def let_go(model, *threads):
    model.go.set()
    for thread in threads:
        thread.join()


def test_requests_that_wait_share_the_next_call(held, export):
    model, running, _ = held
    done, threads = asked_in_threads(running.port, ["first"])
    wait_until(lambda: model.calls == [["first"]])
    more, others = asked_in_threads(running.port, ["a", "b", "c"])
    wait_until(lambda: metrics(running)[QUEUE] == 3)
    let_go(model, *threads, *others)
    assert sorted(map(sorted, model.calls)) == [["a", "b", "c"], ["first"]]
    for caption, embedding in (done | more).items():
        close(embedding, export.keras.text([caption]))
    assert metrics(running)['mite_serving_batch_size_bucket{le="1.0",model_name="text"}'] == 1


def test_a_full_queue_refuses_at_once(held):
    model, running, stubs = held
    done, threads = asked_in_threads(running.port, [f"caption {n}" for n in range(8)])
    # One full batch is running at most, and one may wait.
    wait_until(lambda: metrics(running)[QUEUE] + sum(map(len, model.calls)) == 8)
    start = time.monotonic()
    code, details = stubs.refused("text", text=["one more"])
    assert time.monotonic() - start < 10
    assert (code, "queue" in details) == ("RESOURCE_EXHAUSTED", True)
    # The other model is not held up.
    assert stubs.embed("image", image_bytes=[images()["photo.png"]]).shape == (1, 16)
    let_go(model, *threads)
    assert all(isinstance(each, np.ndarray) for each in done.values())
    assert stubs.embed("text", text=["again"]).shape == (1, 16)


def test_nothing_is_computed_for_a_caller_who_has_gone(held, monkeypatch):
    freed, leave_out = [], Batcher.leave_out
    monkeypatch.setattr(Batcher, "leave_out", lambda each: freed.append(leave_out(each)))
    model, running, stubs = held
    done, threads = asked_in_threads(running.port, ["first"])
    wait_until(lambda: len(model.calls) == 1)
    cancelled = stubs.prediction.Predict.future(stubs.request(text=["cancelled"]))
    late, late_threads = asked_in_threads(running.port, ["late"], timeout=1)
    stays, stays_threads = asked_in_threads(running.port, ["stays"])
    wait_until(lambda: metrics(running)[QUEUE] == 3)
    cancelled.cancel()
    wait_until(lambda: metrics(running).get(COUNT % ("text", "CANCELLED")) == 2)
    # Though the model is still busy.
    assert metrics(running)[QUEUE] == 1
    assert len(freed) == 2
    let_go(model, *threads, *late_threads, *stays_threads)
    assert late == {"late": "DEADLINE_EXCEEDED"}
    assert model.calls == [["first"], ["stays"]]
    assert stays["stays"].shape == done["first"].shape == (1, 16)


def test_a_bad_picture_fails_its_own_request_alone(stubs, export):
    good = images()["photo.png"]
    calls = [
        stubs.prediction.Predict.future(
            stubs.request("image", image_bytes=[good if number % 2 else b"bad"]), timeout=30
        )
        for number in range(20)
    ]
    expected = export.keras.images([good])
    for number, call in enumerate(calls):
        if number % 2:
            close(tf.make_ndarray(call.result().outputs["embedding"]), expected, 2e-5)
        else:
            assert call.exception().code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_that_fails_fails_its_requests_and_not_the_server(export_folder, monkeypatch):
    from mite_tf.serving.backends.onnx import OnnxBackend

    run = OnnxBackend.run

    def fail(backend, rows):
        if "poison" in rows.values:
            raise RuntimeError("out of memory")
        return run(backend, rows)

    monkeypatch.setattr(OnnxBackend, "run", fail)
    with start_server(export_folder) as running, stubs_of(running.port) as stubs:
        code, details = stubs.refused("text", text=["poison"])
        assert (code, "out of memory" in details) == ("INTERNAL", True)
        assert stubs.embed("text", text=["fine"]).shape == (1, 16)


def test_large_images_are_refused_before_they_are_decoded(export_folder):
    with (
        start_server(export_folder, max_image_pixels=160 * 120) as running,
        stubs_of(running.port) as stubs,
    ):
        assert stubs.embed("image", image_bytes=[images()["photo.png"]]).shape == (1, 16)
        code, details = stubs.refused("image", image_bytes=[images()["huge.jpg"]])
        assert (code, "3000 × 2000 pixels; at most 19200" in details) == ("INVALID_ARGUMENT", True)
        pixels = np.zeros((1, 161, 120, 3), np.uint8)
        refused = stubs.refused("image", signature="pixels_uint8", pixels=pixels)
        assert "make it smaller" in refused[1]


@pytest.fixture
def held_pictures(monkeypatch):
    """Holds the decoding of a large picture until it is let go, and tells which were begun."""
    go, begun = threading.Event(), []
    decode = backend.pixels_of

    def held(data, *how):
        if len(data) > 10_000:
            begun.append(len(data))
            go.wait(30)
        return decode(data, *how)

    monkeypatch.setattr(backend, "pixels_of", held)
    return go, begun


def test_a_small_picture_never_waits_for_a_large_one(export_folder, held_pictures):
    """Nor is a picture decoded for a caller who has gone, or anything of one that is too thin."""
    go, begun = held_pictures
    large, small = bomb(4000, 4001), images()["photo.jpg"]
    with start_server(export_folder) as running, stubs_of(running.port) as stubs:
        asked = stubs.request("image", image_bytes=[large] * 4)
        calls = [stubs.prediction.Predict.future(asked, timeout=1) for _ in range(3)]
        wait_until(lambda: begun)
        for _ in range(3):
            assert stubs.embed("image", image_bytes=[small] * 2).shape == (2, 16)
        assert all(call.exception().code().name == "DEADLINE_EXCEEDED" for call in calls)
        go.set()
        assert stubs.embed("image", image_bytes=[large]).shape == (1, 16)
        assert len(begun) == 2  # the one that was under way, and the last
        code, details = stubs.refused("image", image_bytes=[small, bomb(31, 5000)])
        assert code == "INVALID_ARGUMENT"
        assert "image_bytes[1]: " in details
        assert "31 × 5000 pixels" in details


def test_no_picture_is_decoded_for_a_rest_caller_who_has_gone(export_folder, held_pictures):
    go, begun = held_pictures
    row = {"b64": base64.b64encode(bomb(4000, 4001)).decode()}
    body = json.dumps({"instances": [row] * 4}).encode()
    head = (
        f"POST /v1/models/image:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with start_server(export_folder) as running:
        with socket.create_connection(("127.0.0.1", running.http_port)) as caller:
            caller.sendall(head.encode() + body)
            wait_until(lambda: begun)
        wait_until(lambda: metrics(running).get(COUNT % ("image", "CANCELLED")) == 1)
        go.set()
    assert len(begun) == 1


def test_pictures_wait_for_room(export_folder, monkeypatch):
    monkeypatch.setattr("mite_tf.serving.server.lanes._ROOM", 3 * 12 * 32 * 32)
    data = [images()["photo.jpg"]] * 2
    with start_server(export_folder) as running, stubs_of(running.port) as stubs:
        expected = stubs.embed("image", image_bytes=data)
        asked = stubs.request("image", image_bytes=data)
        calls = [stubs.prediction.Predict.future(asked, timeout=30) for _ in range(20)]
        for call in calls[::3]:
            call.cancel()
        for number, call in enumerate(calls):
            if number % 3:
                close(tf.make_ndarray(call.result().outputs["embedding"]), expected)
        # More than there is room for, alone.
        assert stubs.embed("image", image_bytes=data * 3).shape == (6, 16)


def test_large_messages_are_refused(export_folder):
    with (
        start_server(export_folder, max_message_bytes=10_000, http_port=None) as running,
        stubs_of(running.port) as stubs,
    ):
        code, details = stubs.refused("text", text=["a" * 20_000])
        assert (code, "larger than max" in details) == ("RESOURCE_EXHAUSTED", True)
        assert running.http_port is None


def test_metrics_of_tensorflow_serving(export_folder):
    with start_server(export_folder) as running, stubs_of(running.port) as stubs:
        for _ in range(3):
            stubs.embed("text", text=["a", "b"])
        stubs.refused("text", texts=["a"])
        stubs.refused("dog", text=["a"])
        page = metrics(running)
        assert page[COUNT % ("text", "OK")] == 3
        assert page[COUNT % ("text", "INVALID_ARGUMENT")] == 1
        assert page[COUNT % ("unknown", "NOT_FOUND")] == 1  # no label that a caller makes up
        labels = '{API="Predict",entrypoint="GRPC",model_name="text"}'
        assert page[":tensorflow:serving:request_latency_count" + labels] == 3
        assert 100 < page[":tensorflow:serving:request_latency_sum" + labels] < 3e7
        assert page['mite_serving_batch_size_sum{model_name="text"}'] == 6
        waits = ":tensorflow:serving:batching_session:queuing_latency_count"
        assert page[waits + '{thread_pool_name="text"}'] == 3
