"""Whatever is sent gets an answer, or is told what is wrong with it; the log stays silent."""

import http.client
import json
import math
import time
from contextlib import suppress

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mite_tf.errors import MiteError
from mite_tf.export.pixels import pixels_of
from mite_tf.serving.wire.messages import PredictRequest, PredictResponse
from mite_tf.serving.wire.tensors import to_array
from tests.benchmarks.serving_processes import in_process, serving
from tests.serving.hostile.messages import METHODS, hostile_http, hostile_request
from tests.serving.hostile.pictures import bombs, hostile_picture

REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}
HTTP_REFUSALS = {400, 404, 405, 413, 414, 415, 431, 501}
LONGEST = 1100  # of a message, which TensorFlow Serving cuts at 1,024 characters
HOW = {"height": 8, "width": 8, "resize": "bilinear", "value_range": [0.0, 255.0],
       "orientation": "exif"}  # fmt: skip


def few_or_many(few, many):
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])


def drawn(examples):
    """Calls a function with so many generators of random numbers, the same ones in every run."""

    def run(test):
        quiet = list(HealthCheck)
        settings(
            max_examples=examples, derandomize=True, deadline=None, suppress_health_check=quiet
        )(given(st.randoms(use_true_random=True))(test))()

    return run


@pytest.fixture(scope="module")
def attacked(export, tmp_path_factory):
    """A server in a process of its own, with its log, in which nothing may stand at the end."""
    log = tmp_path_factory.mktemp("attacked") / "log"
    with serving(export.path, log) as server:
        yield server
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {each["level"] for each in lines} == {"info"}, lines


@few_or_many(800, 50_000)
def test_messages(attacked, examples):
    with grpc.insecure_channel(f"127.0.0.1:{attacked.port}") as channel:

        @drawn(examples)
        def _(choose):
            method, data = choose.choice(METHODS), hostile_request(choose)
            call = channel.unary_unary(method).future(data, timeout=20)
            if call.exception():
                assert call.code().name in REFUSALS, call
                assert len(call.details()) < LONGEST
            elif method == METHODS[0]:
                [tensor] = PredictRequest.FromString(data).inputs.values()
                [found] = PredictResponse.FromString(call.result()).outputs.values()
                embedding = to_array(found)
                assert embedding.shape == (tensor.tensor_shape.dim[0].size, 16)
                assert np.isfinite(embedding).all()


@few_or_many(800, 50_000)
def test_bodies(attacked, examples):
    connection = http.client.HTTPConnection("127.0.0.1", attacked.http_port, timeout=20)

    def number(text):
        value = float(text)
        assert math.isfinite(value)
        return value

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    @drawn(examples)
    def _(choose):
        asked = hostile_http(choose)
        connection.request(asked.method, asked.path, asked.body, asked.headers)
        response = connection.getresponse()
        answer = response.read()
        if response.getheader("Connection") == "close":
            connection.close()
        if response.status == 200:
            if asked.path.endswith(":predict"):
                json.loads(answer, parse_float=number, parse_constant=refuse)
        else:
            assert response.status in HTTP_REFUSALS, answer
            assert len(answer.decode()) < LONGEST

    connection.close()


@few_or_many(1000, 100_000)
def test_image_files(examples):
    @drawn(examples)
    def _(choose):
        data, start = hostile_picture(choose), time.process_time()
        with suppress(MiteError):
            pixels = pixels_of(data, HOW)
            assert pixels.shape == (8, 8, 3)
            assert 0 <= pixels.min() <= pixels.max() <= 255
        assert time.process_time() - start < 5


def prepared(folder, files):
    """Prepares image files as a server does; seconds of each, and megabytes that they took."""
    import resource

    from mite_tf.serving.backends import open_backend

    def megabytes():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    backend, seconds, before = open_backend(folder, "image"), {}, megabytes()
    for name, data in files.items():
        start = time.process_time()
        with suppress(MiteError):
            backend.prepare("serving_default", np.array([data], object))
        seconds[name] = time.process_time() - start
    return seconds, megabytes() - before


def test_what_a_small_file_may_cost(export):
    seconds, megabytes = in_process(prepared, export.path, bombs())
    assert max(seconds.values()) < 2, seconds
    assert megabytes < 400  # two at a time leave a server of 1 GB alive
