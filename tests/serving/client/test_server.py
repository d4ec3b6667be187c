"""Against the real server: the answers of Keras, restarts, new versions; in process alike."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mite_tf.export.verification.cases import images
from mite_tf.serving import EmbeddingClient, EmbeddingError, start_server

TEXTS = ["", "a dog runs", "a red circle, left", "dogs run in the grass", "🐕", "x" * 500] * 9
CASES = images()
FILES = [CASES[name] for name in sorted(CASES)]


@pytest.fixture(scope="module")
def remote(address):
    with EmbeddingClient(address, rows_per_request=5) as client:
        yield client


@pytest.fixture(scope="module")
def local(export_folder):
    with EmbeddingClient.local(export_folder, rows_per_request=7) as client:
        yield client


@pytest.fixture(scope="module")
def address(server):
    return f"127.0.0.1:{server.port}"


def test_both_give_what_keras_gives(export, remote, local):
    texts, files = export.keras.text(TEXTS), export.keras.images(FILES)
    for client in (remote, local):
        np.testing.assert_allclose(client.embed_text(TEXTS), texts, atol=1e-5)
        # Pillow's pixels differ from TensorFlow's in rounding, most with 16 bits.
        np.testing.assert_allclose(client.embed_images(FILES), files, atol=5e-3)
        assert client.versions == {"text": 1, "image": 1}


def test_in_process_is_as_remote(remote, local):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    mixed = [*FILES, pixels, pixels.astype(np.float32), Image.fromarray(pixels).convert("CMYK")]
    for one, other in (
        (remote.embed_text(TEXTS), local.embed_text(TEXTS)),
        (remote.embed_images(mixed), local.embed_images(mixed)),
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert remote.metadata() == local.metadata()
    assert remote.status() == local.status()
    for client in (remote, local):
        assert client.embed_text([]).shape == client.embed_images([]).shape == (0, 16)
    as_png, as_floats = remote.embed_images([pixels, pixels.astype(np.float32)])
    np.testing.assert_allclose(as_png, as_floats, atol=1e-6)


@pytest.mark.parametrize("which", ["remote", "local"])
def test_a_bad_image_is_named(which, request, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image at all")
    client = request.getfixturevalue(which)
    with pytest.raises(EmbeddingError, match=r"images\[4\] \(.*broken.jpg\): .*decode") as caught:
        client.embed_images([*FILES[:4], path, *FILES[:4]])
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("which", ["remote", "local"])
def test_a_version_that_is_not_there(which, address, export_folder):
    client = (
        EmbeddingClient(address, version=9)
        if which == "remote"
        else EmbeddingClient.local(export_folder, version=9)
    )
    with client, pytest.raises(EmbeddingError, match=r"version 9.*NOT_FOUND"):
        client.embed_text(["a"])


def test_a_new_version_in_the_middle(export_folder, tmp_path):
    """Every call is of one version while the export is replaced; none fails."""
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    with start_server(folder, poll_seconds=0.1, http_port=None) as server:
        stop, errors, versions = threading.Event(), [], []

        def embed():
            with EmbeddingClient(f"127.0.0.1:{server.port}", rows_per_request=2) as client:
                while not stop.is_set():
                    try:
                        client.embed_text(TEXTS)
                        versions.append(client.versions["text"])
                    except EmbeddingError as error:
                        errors.append(error)

        thread = threading.Thread(target=embed)
        thread.start()
        while not versions:
            time.sleep(0.01)
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        path.with_suffix(".new").write_text(json.dumps({**manifest, "version": 2}))
        path.with_suffix(".new").replace(path)
        end = time.monotonic() + 60
        while versions[-1] == 1 and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        thread.join()
    assert not errors
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}


SERVE = """
import sys
from mite_tf.serving import serve
serve(sys.argv[1], port=int(sys.argv[2]), http_port=None, backend="onnx")
"""


def start(folder, port):
    return subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)],
                            stderr=subprocess.DEVNULL)  # fmt: skip


def test_a_killed_server_is_reached_again(export_folder, local):
    """`kill -9` in the middle of calls, and another start on the same port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    expected = local.embed_text(TEXTS)
    process = start(export_folder, port)
    stop, errors, calls = threading.Event(), [], []

    def embed():
        with EmbeddingClient(f"127.0.0.1:{port}", rows_per_request=1, timeout=90) as client:
            while not stop.is_set():
                try:
                    np.testing.assert_allclose(client.embed_text(TEXTS), expected, atol=1e-6)
                    calls.append(time.monotonic())
                except Exception as error:
                    errors.append(error)

    threads = [threading.Thread(target=embed) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        while len(calls) < 5 and not errors:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = time.monotonic()
        time.sleep(0.5)
        process = start(export_folder, port)
        end = time.monotonic() + 80
        while (
            not errors and time.monotonic() < end and sum(each > killed + 0.5 for each in calls) < 5
        ):
            time.sleep(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        process.kill()
        process.wait()
    assert not errors
    assert sum(each > killed + 0.5 for each in calls) >= 5
