"""Who may come in, with how much, and for how long: connections, bodies, messages, the end."""

import gzip
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

import grpc
import pytest

from mite_tf.serving.server import connections, http_connections, intake, start_server
from mite_tf.serving.wire.messages import PREDICTION_SERVICE, PredictResponse
from tests.serving.server.under_test import metrics, wait_until
from tests.serving.stubs import close, stubs_of

PREDICT = f"/{PREDICTION_SERVICE}/Predict"
HEAD = b"POST /v1/models/text:predict HTTP/1.1\r\nHost: a\r\n"
BODY = b'{"instances": ["a dog"]}'


OPENED = []


@pytest.fixture(autouse=True)
def _closed():
    yield
    while OPENED:
        OPENED.pop().close()


def connect(port, data=b""):
    connection = socket.create_connection(("127.0.0.1", port))
    OPENED.append(connection)
    connection.settimeout(5)
    connection.sendall(data)
    return connection


def never(go):
    """What a client sends that sends nothing until it may go."""
    go.wait()
    yield from ()


def ended(connection):
    """Whether the other end has closed, whatever it has said."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def healthy(port):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True
        )
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("side", ["grpc", "rest"])
def test_a_full_side_makes_room_and_the_other_answers(export_folder, monkeypatch, side):
    monkeypatch.setattr(connections, "_MOST", 8)
    monkeypatch.setattr(connections, "_SILENCE", 100)
    with start_server(export_folder) as running, stubs_of(running.port) as stubs:
        expected = stubs.embed("text", text=["a dog"])
        port = running.port if side == "grpc" else running.http_port
        idle = [connect(port) for _ in range(30)]
        start = time.monotonic()
        assert metrics(running)
        assert healthy(running.port)
        assert time.monotonic() - start < 20
        close(stubs.embed("text", text=["a dog"]), expected)
        wait_until(lambda: sum(map(ended, idle)) >= 22)


def test_a_caller_who_asks_stays_when_silent_ones_flood(export_folder, monkeypatch):
    monkeypatch.setattr(connections, "_MOST", 8)
    with start_server(export_folder) as running:
        kept = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=5)
        OPENED.append(kept)
        for _ in range(3):
            kept.request("POST", "/v1/models/text:predict", BODY)
            assert kept.getresponse().read()
            kept.auto_open = False  # another connection would hide that this one was ended
            idle = [connect(running.http_port) for _ in range(20)]
            wait_until(lambda idle=idle: sum(map(ended, idle)) >= 12)


def test_requests_in_advance_wait_a_little(export_folder):
    ask = b"GET /v1/models/text HTTP/1.1\r\nHost: a\r\n\r\n"
    with start_server(export_folder) as running:
        start, answers = time.monotonic(), b""
        connection = connect(running.http_port, ask * 5)
        while answers.count(b"HTTP/1.1 200 OK") < 5:
            answers += connection.recv(1 << 16)
        assert time.monotonic() - start > 4 * http_connections._PIPELINED


def test_the_limit_of_files_is_shared(monkeypatch):
    limits = [1024, 4096]
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(
        connections.resource, "setrlimit", lambda _, new: limits.__setitem__(slice(None), new)
    )
    assert 2 * connections.most_connections() < 1024 - 100
    connections.raise_file_limit()
    assert limits == [4096, 4096]
    assert 2 * connections.most_connections() < 4096 - 100


@pytest.fixture
def hasty(export_folder, monkeypatch):
    """A server that waits for less than a second."""
    monkeypatch.setattr(http_connections, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(http_connections, "RECEIVE_SECONDS", 0.6)
    monkeypatch.setattr(intake, "RECEIVE_SECONDS", 0.6)
    with start_server(export_folder) as running:
        yield running


def test_silent_slow_and_half_sent_requests_end(hasty):
    silent, dripping = connect(hasty.http_port), connect(hasty.http_port)
    half = connect(hasty.http_port, HEAD + b"Content-Length: 30\r\n\r\n{")
    used = connect(hasty.http_port, HEAD + b"Content-Length: 24\r\n\r\n" + BODY)
    assert b"200 OK" in used.recv(1 << 16)
    for letter in HEAD[:6]:
        dripping.send(bytes([letter]))
        time.sleep(0.05)
    assert b"408" in half.recv(1 << 16)
    wait_until(lambda: ended(silent) and ended(dripping) and ended(used), 5)
    with grpc.insecure_channel(f"127.0.0.1:{hasty.port}") as channel:
        go = threading.Event()
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED") as told:
            channel.stream_unary(PREDICT)(never(go), timeout=10)
        go.set()
        assert "not received whole within 0.6 seconds" in told.value.details()


def test_a_caller_who_does_not_take_the_answer_is_left(hasty):
    many = b"GET /monitoring/prometheus/metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    deaf = socket.socket()
    OPENED.append(deaf)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", hasty.http_port))
    deaf.settimeout(0.1)
    try:
        while True:  # until the server takes no more, as nothing is taken from it
            deaf.sendall(many * 100)
    except OSError:
        pass
    wait_until(lambda: not still_open(deaf), 60)


def still_open(connection):
    try:
        connection.send(b"G")
    except (BrokenPipeError, ConnectionResetError):
        return False
    except TimeoutError:
        return True
    return True


def post(port, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", "/v1/models/text:predict", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "encoding", "status", "told"),
    [
        (gzip.compress(BODY, mtime=0), "gzip", 200, None),
        (gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0), "GZIP", 200, None),
        (zlib.compress(BODY), "deflate", 200, None),
        (BODY, "identity", 200, None),
        (gzip.compress(b" " * (65 << 20), mtime=0), "gzip", 413, "larger than 67108864 bytes"),
        (gzip.compress(BODY, mtime=0)[:-4], "gzip", 400, "its end is missing"),
        (b"\x1f\x8b" + BODY, "gzip", 400, "cannot be unpacked"),
        (b"", "gzip", 400, "its end is missing"),
        (BODY, "br", 415, "Send gzip, deflate, or none"),
    ],
)
def test_bodies_are_unpacked_within_the_limit(server, export, body, encoding, status, told):
    found, answer = post(server.http_port, body, Content_Encoding=encoding)
    assert found == status, answer
    if told:
        assert told in answer["error"]
    else:
        close(answer["predictions"], export.keras.text(["a dog"]))


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(server):
    connection = connect(server.http_port, HEAD + b"Content-Length: 99999999999\r\n\r\n")
    assert b"413" in connection.recv(1 << 16)


def test_bodies_under_way_are_bounded_in_all(export_folder):
    with start_server(export_folder, max_message_bytes=8_000_000) as running:
        half = [
            connect(running.http_port, HEAD + b"Content-Length: 8000000\r\n\r\n{") for _ in range(2)
        ]
        wait_until(lambda: post(running.http_port, b" " * 200_000)[0] == 429, 5)
        assert post(running.http_port, BODY)[0] == 200  # a small one always fits
        assert post(running.http_port, b" " * 100_000)[0] == 400  # large ones leave it room
        for connection in half:
            connection.close()
        wait_until(lambda: post(running.http_port, b" " * 200_000)[0] == 400, 5)


def test_slow_messages_are_refused_when_memory_is_short(export_folder, monkeypatch):
    size = [0]
    monkeypatch.setattr(intake, "_resident", lambda: size[0])
    with start_server(export_folder, http_port=None) as running, stubs_of(running.port) as stubs:
        go, ends = threading.Event(), []

        def ask(channel):
            try:
                channel.stream_unary(PREDICT)(never(go), timeout=20)
            except grpc.RpcError as error:
                ends.append(error.code().name)

        with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            threads = [threading.Thread(target=ask, args=(channel,)) for _ in range(20)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            assert not ends  # as long as there is memory, all of them may take their time
            size[0] = 1 << 40
            wait_until(lambda: len(ends) == 18, 5)  # room for two of the largest
            assert stubs.embed("text", text=["a dog"]).shape[0] == 1
            size[0] = 0
            assert set(ends) == {"RESOURCE_EXHAUSTED"}
        go.set()
        for thread in threads:
            thread.join()


def test_what_is_no_message_is_told(server, address, stubs):
    with grpc.insecure_channel(address) as channel:
        ask = channel.stream_unary(PREDICT, None, PredictResponse.FromString)
        good = stubs.request(text=["a dog"]).SerializeToString()
        # As gRPC does for a method that takes one: the first message counts.
        assert ask(iter([good, b"\xff"]), timeout=10).model_spec.name == "text"
        for bad in ([b"\xff\xff"], [b"\xff" * 100_000], []):
            with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
                ask(iter(bad), timeout=10)
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            channel.stream_unary("/grpc.health.v1.Health/Check")(iter([]), timeout=10)
    refused = ':tensorflow:serving:request_count{model_name="unknown",status="INVALID_ARGUMENT"}'
    assert metrics(server)[refused] >= 3


def test_at_the_end_everybody_is_told(export_folder):
    """Clients that ask on and on, a half-sent body, silent connections: UNAVAILABLE, and 503."""
    running = start_server(export_folder)
    half = connect(running.http_port, HEAD + b"Content-Length: 30\r\n\r\n{")
    silent = [connect(running.http_port), connect(running.port)]
    request = urllib.request.Request(f"http://127.0.0.1:{running.http_port}/v1/models/text")
    codes, go = [], threading.Event()

    def ask():
        with stubs_of(running.port) as stubs:
            while not go.is_set():
                try:
                    stubs.predict("text", text=["a dog"])
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(codes) > 50)
    start = time.monotonic()
    running.stop()
    assert time.monotonic() - start < 5
    go.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {"OK", "UNAVAILABLE"}, set(codes)
    assert b"503" in half.recv(1 << 16)
    assert all(map(ended, silent))
    with pytest.raises(OSError):
        urllib.request.urlopen(request, timeout=5)


BUSY = """
import sys, time
from mite_tf.serving.backends.onnx import OnnxBackend
from mite_tf.serving.server import model_version, serve
model_version._LIGHT_SECONDS = -1.0
run = OnnxBackend.run
def slow(self, rows):
    if rows.key == "text" and "slow" in rows.values:
        time.sleep(60)
    return run(self, rows)
OnnxBackend.run = slow
serve(sys.argv[1], port=0, http_port=None, grace_seconds=1.0)
"""


def test_a_thread_that_computes_does_not_hold_the_end(export_folder):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(export_folder)], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = (json.loads(line) for line in process.stderr)
        [serving] = [next(line for line in lines if line["message"] == "serving")]
        with stubs_of(serving["port"]) as stubs:
            slow = stubs.prediction.Predict.future(stubs.request(text=["slow"]), timeout=30)
            time.sleep(0.3)
            process.terminate()
            assert slow.exception().code() is grpc.StatusCode.UNAVAILABLE
        assert process.wait(10) == 0
        assert [line["message"] for line in lines][-1] == "ended with work under way"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
