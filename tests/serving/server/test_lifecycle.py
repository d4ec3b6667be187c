"""Beginnings and ends: health, signals, taken ports."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.server import start_server
from tests.serving.server.under_test import (
    SlowModel,
    asked_in_threads,
    asking,
    wait_until,
)
from tests.serving.stubs import close


def test_health_and_reflection(server, address):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "tensorflow.serving.PredictionService", "ModelService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            health.Check(health_pb2.HealthCheckRequest(service="dog"), timeout=10)
        database = ProtoReflectionDescriptorDatabase(channel)
        names = set(database.get_services())
        assert {"tensorflow.serving.PredictionService", "grpc.health.v1.Health"} <= names
        for name in names - {"grpc.reflection.v1alpha.ServerReflection"}:
            file = database.FindFileContainingSymbol(name)
            assert any(f"{file.package}.{each.name}" == name for each in file.service)


def serve_in_process(folder, *more):
    """`serve` in a process of its own; gives it, its ports and its log lines."""
    script = (
        "import sys; from mite_tf.serving.server import serve; "
        "serve(sys.argv[1], port=0, http_port=0, log_level='debug')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), *more], stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if lines[-1]["message"] == "serving":
            return process, lines[-1], lines
    raise AssertionError(lines)


def test_sigterm_under_load_answers_what_was_accepted(export_folder):
    process, ports, lines = serve_in_process(export_folder)
    read = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stderr)))
    read.start()
    try:
        with asking(ports["port"], clients=8) as (answers, errors):
            wait_until(lambda: len(answers) > 200)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        read.join()
        process.stderr.close()
    # Every client ends by being refused, none by an answer that was lost.
    assert {code for code, _ in errors} == {"UNAVAILABLE"}, errors
    requests = [line for line in lines if line["message"] == "request"]
    assert {line["status"] for line in requests} <= {"OK", "UNAVAILABLE"}
    assert sum(line["status"] == "OK" for line in requests) == len(answers)
    assert [line["message"] for line in lines][-1] == "stopped"


def test_stopping_waits_for_a_slow_answer(export_folder, monkeypatch):
    model = SlowModel(monkeypatch)
    running = start_server(export_folder)
    model.on = True
    done, threads = asked_in_threads(running.port, ["slow"])
    wait_until(lambda: len(model.calls) == 1)
    stopping = threading.Thread(target=running.stop)
    stopping.start()
    stopping.join(0.3)
    assert stopping.is_alive()
    model.go.set()
    stopping.join()
    threads[0].join()
    assert done["slow"].shape == (1, 16)
    running.stop()  # once more does nothing


def test_a_taken_port_is_told(server, export_folder):
    with pytest.raises(MiteError, match="gRPC cannot listen"):
        start_server(export_folder, port=server.port)
    with pytest.raises(MiteError, match="HTTP cannot listen"):
        start_server(export_folder, http_port=server.http_port)


def test_many_calls_of_one_asyncio_client_get_their_own_answers(server, stubs, export):
    captions = [f"dog {number} red {number * 7 % 10}" for number in range(64)]
    expected = export.keras.text(captions)

    async def ask():
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

            async def one(caption):
                response = await stub.Predict(stubs.request(text=[caption]), timeout=30)
                return np.frombuffer(response.outputs["embedding"].tensor_content, np.float32)

            return await asyncio.gather(*map(one, captions))

    close(np.stack(asyncio.run(ask())), expected)


FREED = """
from mite_tf.serving.server.intake import _resident, give_back_at_once
give_back_at_once()
bytearray(24 << 20)  # from now on, glibc would keep blocks of this size
before = _resident()
large, small = [bytearray(16 << 20) for _ in range(4)], bytearray(100_000)
del large
print(_resident() - before)
"""


def test_large_blocks_are_given_back_when_they_are_freed():
    done = subprocess.run([sys.executable, "-c", FREED], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 4 << 20
