"""Versions that come and go, callers that vanish, queues that fill, ends under load."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST, read_manifest
from mite_tf.serving.server import Batching, start_server
from tests.serving.conftest import Keras
from tests.serving.exports import make_encoders, write_export
from tests.serving.stubs import close, images, stubs_of

CAPTIONS = ["a dog", "red circle", "dogs run.", "green square left", ""]


@pytest.fixture(scope="session")
def second(export_folder, tmp_path_factory):
    """The same folder after a second export, of other weights."""
    folder = tmp_path_factory.mktemp("second") / "export"
    shutil.copytree(export_folder, folder)
    encoders = make_encoders(word_size=16, hidden_size=16, seed=1)
    write_export(folder, encoders)
    return folder, Keras(encoders)


def renew(folder, newer):
    """What a second export does to a folder: the SavedModels first, the manifest last."""
    for name in ("savedmodel", "onnx", "tokenizer.json", MANIFEST):
        if (newer / name).is_dir():
            shutil.copytree(newer / name, folder / name, dirs_exist_ok=True)
        else:
            shutil.copy(newer / name, folder / name)


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def metrics(running):
    with urllib.request.urlopen(
        f"http://127.0.0.1:{running.http_port}/monitoring/prometheus/metrics"
    ) as page:
        lines = [line for line in page.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextlib.contextmanager
def asking(port, clients=8):
    """Clients that ask one caption after the other; gives what they got."""
    answers, errors, stop = [], [], threading.Event()

    def ask(number):
        with stubs_of(port) as stubs:
            while not stop.is_set():
                caption = CAPTIONS[number % len(CAPTIONS)]
                number += 1
                try:
                    answers.append((caption, stubs.predict("text", text=[caption])))
                except grpc.RpcError as error:
                    errors.append((error.code().name, error.details()))
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers, errors
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("backend", ["onnx", "savedmodel"])
def test_a_new_version_takes_over_under_traffic(export, second, tmp_path, backend):
    import tensorflow as tf

    newer, keras = second
    folder = tmp_path / "export"
    shutil.copytree(export.path, folder)
    expected = {1: export.keras.text(CAPTIONS), 2: keras.text(CAPTIONS)}
    assert np.abs(expected[1] - expected[2]).max() > 0.1
    with start_server(folder, backend=backend, poll_seconds=0.1) as running:
        with asking(running.port) as (answers, errors), stubs_of(running.port) as stubs:
            wait_until(lambda: len(answers) > 50)
            renew(folder, newer)
            wait_until(lambda: stubs.status("text") == {1: 50, 2: 30})
            known = len(answers)
            wait_until(lambda: len(answers) > known + 50)
            assert stubs.refused("text", version=1, text=["a"])[0] == "NOT_FOUND"
            assert stubs.status("image") == {1: 50, 2: 30}
        assert not errors
        versions = [response.model_spec.version.value for _, response in answers]
        assert set(versions) == {1, 2}
        for caption, response in answers:
            rows = expected[response.model_spec.version.value]
            close(tf.make_ndarray(response.outputs["embedding"])[0], rows[CAPTIONS.index(caption)])
        page = metrics(running)
        name = 'mite_serving_model_version{model_name="text",version="%s"}'
        assert (page[name % 1], page[name % 2]) == (50, 30)


def test_half_an_export_and_a_broken_one_leave_the_old_version_serving(export, second, tmp_path):
    newer, keras = second
    folder = tmp_path / "export"
    shutil.copytree(export.path, folder)
    with start_server(folder, poll_seconds=0.05) as running, stubs_of(running.port) as stubs:
        # The file of a new version under the manifest of the old one.
        shutil.copy(newer / "onnx/text_encoder.onnx", folder / "onnx/text_encoder.onnx")
        time.sleep(0.5)
        close(stubs.embed("text", text=CAPTIONS), export.keras.text(CAPTIONS))
        # A manifest of version 2 over a damaged file.
        (folder / "onnx/text_encoder.onnx").write_bytes(b"broken")
        shutil.copy(newer / MANIFEST, folder / MANIFEST)
        wait_until(lambda: stubs.status("text") == {2: 50, 1: 30})
        close(stubs.embed("text", text=CAPTIONS), export.keras.text(CAPTIONS))
        renew(folder, newer)  # mended
        wait_until(lambda: stubs.status("text") == {2: 30, 1: 50})
        close(stubs.embed("text", text=CAPTIONS), keras.text(CAPTIONS))


def test_nothing_is_served_of_a_damaged_export(export_folder, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    (folder / "onnx/image_encoder.onnx").write_bytes(b"broken")
    with pytest.raises(MiteError, match="not the file that was exported"):
        start_server(folder)


@pytest.mark.parametrize("backend", ["onnx", "savedmodel"])
def test_what_lies_outside_of_the_folder_is_not_served(export_folder, tmp_path, backend):
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    name = "onnx/text_encoder.onnx" if backend == "onnx" else "savedmodel/text/1/saved_model.pb"
    outside = tmp_path / "outside"
    (folder / name).replace(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(MiteError, match="leads out of the folder"):
        start_server(folder, backend=backend)


def test_paths_in_names_lead_nowhere(server, stubs):
    for name in ("../text", "/etc/passwd", "savedmodel/text", "text/1", "text\0"):
        assert stubs.refused(name, text=["a"])[0] == "NOT_FOUND"
    for path in ("..%2ftext", "%2e%2e%2fmanifest.json", "..;/text"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[04]"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/v1/models/{path}")


def test_a_folder_that_is_itself_a_link_is_followed(export_folder, export, tmp_path):
    (tmp_path / "current").symlink_to(export_folder)
    with start_server(tmp_path / "current") as running, stubs_of(running.port) as stubs:
        close(stubs.embed("text", text=["a dog"]), export.keras.text(["a dog"]))


def test_features_are_served(tmp_path):
    encoders = make_encoders(features=24, word_size=16, hidden_size=16)
    write_export(tmp_path / "export", encoders)
    features = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    expected = encoders.image_encoder(features, training=False)
    for backend in ("onnx", "savedmodel"):
        with (
            start_server(tmp_path / "export", backend=backend) as running,
            stubs_of(running.port) as stubs,
        ):
            close(stubs.embed("image", features=features), expected)
            close(stubs.embed("image", signature="features", features=features), expected)
            assert "expected [?,24]" in stubs.refused("image", features=features[:, :3])[1]


class SlowModel:
    """Holds a server's model until it is let go."""

    def __init__(self, monkeypatch, seconds=0.0):
        from mite_tf.serving.backends.onnx import OnnxBackend

        self.go = threading.Event()
        self.calls = []
        run = OnnxBackend.run

        def slow(backend, rows):
            if backend.name == "text" and self.on:
                self.calls.append(list(rows.values))
                self.go.wait(30)
                time.sleep(seconds)
            return run(backend, rows)

        self.on = False
        monkeypatch.setattr(OnnxBackend, "run", slow)
        # A model that is held must not hold the event loop with it.
        monkeypatch.setattr("mite_tf.serving.server.warmup._LIGHT_SECONDS", -1.0)


def asked_in_threads(port, captions, **more):
    """Asks in threads of their own; gives the answers or statuses in time."""
    done = {}

    def ask(caption):
        with stubs_of(port) as stubs:
            try:
                done[caption] = stubs.embed("text", text=[caption], **more)
            except grpc.RpcError as error:
                done[caption] = error.code().name

    threads = [threading.Thread(target=ask, args=(caption,)) for caption in captions]
    for thread in threads:
        thread.start()
    return done, threads


ONE = Batching(max_batch_size=4, num_batch_threads=1, max_enqueued_batches=1)


def test_requests_that_wait_share_the_next_call(export_folder, export, monkeypatch):
    model = SlowModel(monkeypatch)
    with start_server(export_folder, batching=ONE) as running:
        model.on = True
        done, threads = asked_in_threads(running.port, ["first"])
        wait_until(lambda: model.calls == [["first"]])
        more, others = asked_in_threads(running.port, ["a", "b", "c"])
        time.sleep(0.5)
        model.go.set()
        for thread in (*threads, *others):
            thread.join()
        assert sorted(map(sorted, model.calls)) == [["a", "b", "c"], ["first"]]
        for caption, embedding in (done | more).items():
            close(embedding, export.keras.text([caption]))
        assert metrics(running)['mite_serving_batch_size_bucket{le="1.0",model_name="text"}'] == 1


def test_a_full_queue_refuses_at_once(export_folder, monkeypatch):
    model = SlowModel(monkeypatch)
    with start_server(export_folder, batching=ONE) as running, stubs_of(running.port) as stubs:
        model.on = True
        done, threads = asked_in_threads(running.port, [f"caption {n}" for n in range(8)])
        queue = 'mite_serving_queue_length{model_name="text"}'
        # One full batch is running at most, and one may wait.
        wait_until(lambda: metrics(running)[queue] + sum(map(len, model.calls)) == 8)
        start = time.monotonic()
        code, details = stubs.refused("text", text=["one more"])
        assert time.monotonic() - start < 2
        assert (code, "queue" in details) == ("RESOURCE_EXHAUSTED", True)
        # The other model is not held up.
        assert stubs.embed("image", image_bytes=[images()["photo.png"]]).shape == (1, 16)
        model.go.set()
        for thread in threads:
            thread.join()
        assert all(isinstance(each, np.ndarray) for each in done.values())
        assert stubs.embed("text", text=["again"]).shape == (1, 16)


def test_who_has_gone_is_not_computed_for(export_folder, monkeypatch):
    model = SlowModel(monkeypatch)
    with start_server(export_folder, batching=ONE) as running, stubs_of(running.port) as stubs:
        model.on = True
        done, threads = asked_in_threads(running.port, ["first"])
        wait_until(lambda: len(model.calls) == 1)
        cancelled = stubs.prediction.Predict.future(stubs.request(text=["cancelled"]))
        late, late_threads = asked_in_threads(running.port, ["late"], timeout=0.3)
        stays, stays_threads = asked_in_threads(running.port, ["stays"])
        time.sleep(1)
        cancelled.cancel()
        time.sleep(0.5)
        model.go.set()
        for thread in (*threads, *late_threads, *stays_threads):
            thread.join()
        assert late == {"late": "DEADLINE_EXCEEDED"}
        assert model.calls == [["first"], ["stays"]]
        assert stays["stays"].shape == done["first"].shape == (1, 16)
        assert (
            metrics(running)[
                ':tensorflow:serving:request_count{model_name="text",status="CANCELLED"}'
            ]
            == 2
        )


def test_a_bad_picture_fails_its_own_request_alone(stubs, export):
    good = images()["photo.png"]
    calls = [
        stubs.prediction.Predict.future(
            stubs.request("image", image_bytes=[good if number % 2 else b"bad"]), timeout=30
        )
        for number in range(20)
    ]
    import tensorflow as tf

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
        assert (
            "too" in details
            or "Send a smaller"
            in stubs.refused("image", signature="pixels_uint8", pixels=pixels)[1]
        )


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
        count = ':tensorflow:serving:request_count{model_name="%s",status="%s"}'
        assert page[count % ("text", "OK")] == 3
        assert page[count % ("text", "INVALID_ARGUMENT")] == 1
        assert page[count % ("unknown", "NOT_FOUND")] == 1  # no label that a caller makes up
        labels = '{API="Predict",entrypoint="GRPC",model_name="text"}'
        assert page[":tensorflow:serving:request_latency_count" + labels] == 3
        assert 100 < page[":tensorflow:serving:request_latency_sum" + labels] < 3e7
        assert page['mite_serving_batch_size_sum{model_name="text"}'] == 6
        waits = ":tensorflow:serving:batching_session:queuing_latency_count"
        assert page[waits + '{thread_pool_name="text"}'] == 3


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
    time.sleep(0.5)
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


def test_no_tensorflow_is_loaded(export_folder):
    script = (
        "import sys, asyncio\n"
        "from mite_tf.serving.server import start_server\n"
        "import urllib.request\n"
        "with start_server(sys.argv[1], backend='onnx') as running:\n"
        "    url = f'http://127.0.0.1:{running.http_port}/v1/models/text:predict'\n"
        '    urllib.request.urlopen(url, b\'{"instances": ["a"]}\').read()\n'
        "print([name for name in sys.modules if name.startswith(('tensorflow', 'keras'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(export_folder)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert read_manifest(export_folder).version == 1


def test_thirty_two_asyncio_clients_get_their_own_answers(server, export):
    captions = [f"dog {number} red {number * 7 % 10}" for number in range(64)]
    expected = export.keras.text(captions)

    async def ask():
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

            async def one(caption):
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "text"
                request.inputs["text"].dtype = 7
                request.inputs["text"].tensor_shape.dim.add(size=1)
                request.inputs["text"].string_val.append(caption.encode())
                response = await stub.Predict(request, timeout=30)
                return np.frombuffer(response.outputs["embedding"].tensor_content, np.float32)

            return await asyncio.gather(*map(one, captions))

    close(np.stack(asyncio.run(ask())), expected)
