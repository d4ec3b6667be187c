"""Load tests of a server whose behaviour is known."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest import load_test
from mite_tf.serving.loadtest.requests import prepare
from mite_tf.serving.wire.messages import PredictRequest
from mite_tf.serving.wire.tensors import to_array
from tests.serving.loadtest.conftest import ROOT


def run(server, **options):
    return load_test(server.address, quiet=True, **{"warmup": 0, "seconds": 1, **options})


def test_latency_and_throughput_are_those_of_the_server(serve_fake):
    result = run(serve_fake(seconds=0.1), clients=4, seconds=2, warmup=0.5)
    # No answer comes in less than 100 ms, so 4 clients get at most 40 a second, and those that
    # were under way at the beginning: 4 in 2 seconds. A busy machine may take a half longer.
    assert result.latency["p50"] >= 100
    assert result.latency["p50"] < 150
    assert 4 / 0.15 < result.throughput <= 42
    assert result.errors == {}
    assert result.version == 7
    assert result.latency_from_sending == result.latency
    assert result.client_busy < 0.85


def test_rate_shows_the_queue_that_waiting_clients_hide(serve_fake):
    """One answer takes a second. A waiting client asks nothing meanwhile; users would.

    At 40 a second for 2 seconds, 80 requests fall due, 40 of them during the stall, and wait
    for what is left of it: the 4 slowest (5 %) for 0.9 seconds at least.
    """
    stall = [20, 1.0]
    closed = run(serve_fake(threads=1, stall=stall), clients=1, seconds=2)
    opened = run(serve_fake(threads=1, stall=stall), clients=1, seconds=2, rate=40)
    assert closed.latency["max"] >= 1000
    assert opened.latency["p95"] >= 900
    assert opened.latency["p95"] > 2 * closed.latency["p95"]
    assert opened.latency["p95"] > 2 * opened.latency_from_sending["p95"]


def test_requests_that_never_found_a_client_are_told(serve_fake):
    result = run(serve_fake(seconds=0.05), clients=1, rate=100)
    # One client gets at most 20 answers in a second; 100 requests fell due.
    assert 0 < result.requests <= 20
    assert result.requests + result.not_sent == 100
    assert result.latency["max"] > result.latency_from_sending["max"]


def test_processes_take_turns_in_one_schedule(serve_fake):
    result = run(serve_fake(), clients=5, processes=2, rate=50)
    assert result.processes == 2
    due = np.sort(result.samples["due"])
    np.testing.assert_allclose(np.diff(due), 1 / 50, atol=1e-6)
    assert result.requests + result.not_sent == 50


def test_errors_are_counted_by_code(serve_fake):
    # The first Predict tries the server. Of the next, every third is refused, and every tenth
    # that is not hangs until its deadline.
    result = run(serve_fake(refuse=3, hang=10, seconds=0.01), clients=1, seconds=2, deadline=0.6)
    numbers = range(2, 2 + result.requests)
    refused = sum(number % 3 == 0 for number in numbers)
    hung = sum(number % 10 == 0 and number % 3 != 0 for number in numbers)
    assert result.errors == {"DEADLINE_EXCEEDED": hung, "RESOURCE_EXHAUSTED": refused}
    assert result.answered == result.requests - refused - hung > 0
    assert result.messages["RESOURCE_EXHAUSTED"] == "The queue is full."
    assert result.error_rate == pytest.approx((refused + hung) / result.requests)


def test_rows_count_in_batches(serve_fake):
    result = run(serve_fake(seconds=0.02), clients=2, batch=5)
    assert result.rows_per_second == 5 * result.throughput


def test_pictures_are_sent_as_the_signature_asks(serve_fake):
    address = serve_fake().address
    sizes = {}
    for signature in ("serving_default", "pixels", "pixels_uint8"):
        requests = prepare(address, model="image", signature=signature, batch=2)
        assert len(set(requests.messages)) == len(requests.messages) == 16
        [(name, tensor)] = PredictRequest.FromString(requests.messages[0]).inputs.items()
        sizes[signature] = name, to_array(tensor).shape
    assert sizes == {
        "serving_default": ("image_bytes", (2,)),
        "pixels": ("pixels", (2, 256, 256, 3)),
        "pixels_uint8": ("pixels", (2, 8, 8, 3)),
    }


def test_what_the_server_does_not_know_is_named(serve_fake):
    server = serve_fake()
    with pytest.raises(MiteError, match="NOT_FOUND: Servable not found: audio"):
        run(server, model="audio")
    with pytest.raises(MiteError, match="no signature 'pixels'; it has serving_default, token_ids"):
        run(server, signature="pixels")


def test_no_server_is_told():
    with pytest.raises(MiteError, match=r"localhost:1: UNAVAILABLE: .* Is a server running there"):
        load_test("localhost:1", deadline=2)


@pytest.mark.parametrize("wrong", [{"clients": 0}, {"rate": -1.0}, {"seconds": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(MiteError, match=f"{next(iter(wrong))} must be positive"):
        load_test("localhost:1", **wrong)


SCRIPT = """
import json, signal, sys
from mite_tf.serving.loadtest import load_test
# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
result = load_test(sys.argv[1], clients=2, processes=2, seconds=60, warmup=0)
print(json.dumps(result.to_dict()))
"""


@pytest.fixture
def long_test(serve_fake):
    """A load test of a minute that is under way, in a process of its own."""
    server = serve_fake(seconds=0.02, announce=30)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, server.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert server.stdout.readline() == "busy\n"
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_gives_what_was_measured(long_test):
    begin = time.monotonic()
    long_test.send_signal(signal.SIGINT)
    out, err = long_test.communicate(timeout=30)
    assert time.monotonic() - begin < 20
    assert (long_test.returncode, err) == (0, "")
    result = json.loads(out)
    assert result["interrupted"]
    assert result["requests"] >= 20
    assert result["seconds"] < 30
    assert result["errors"] == {}
    assert result["throughput"] == pytest.approx(result["answered"] / result["seconds"], rel=0.2)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for children")
def test_client_processes_end_with_their_parent(long_test):
    task = Path(f"/proc/{long_test.pid}/task/{long_test.pid}/children")
    children = [int(pid) for pid in task.read_text().split()]
    assert len(children) == 2
    long_test.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(_runs, children)):
        time.sleep(0.05)
    assert not any(map(_runs, children))


def _runs(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
