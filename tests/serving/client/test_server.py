"""Against the real server: the answers of Keras, restarts, new versions; in process alike."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from mite_tf.errors import UnknownWordsWarning
from mite_tf.export.verification.cases import images
from mite_tf.serving import EmbeddingClient, EmbeddingError, start_server

TEXTS = ["", "a dog runs", "a red circle, left", "dogs run in the grass", "🐕", "x" * 500] * 9
CASES = images()
of_unknown = pytest.mark.filterwarnings("ignore:The text .* holds no word")
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


def test_in_this_process_a_text_of_unknown_words_is_told(export_folder):
    with EmbeddingClient.local(export_folder) as client:
        client.embed_text(["a dog", "a 犬"])  # a warning would be an error
        with pytest.warns(UnknownWordsWarning, match="'犬 🐕' holds no word .* Nor do 2 others"):
            client.embed_text(["犬 🐕", "a dog", "", "\u200b"])


@of_unknown
def test_both_give_what_keras_gives(export, remote, local):
    texts, files = export.keras.text(TEXTS), export.keras.images(FILES)
    for client in (remote, local):
        np.testing.assert_allclose(client.embed_text(TEXTS), texts, atol=1e-5)
        # Pillow's pixels differ from TensorFlow's in rounding, most with 16 bits.
        np.testing.assert_allclose(client.embed_images(FILES), files, atol=5e-3)
        assert client.versions == {"text": 1, "image": 1}


@of_unknown
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


@contextmanager
def embedding_meanwhile(target, *, threads=1, **options):
    """Embeds all the while in threads; yields time, version and values of each call."""
    stop, done, errors = threading.Event(), [], []

    def embed():
        with EmbeddingClient(target, **options) as client:
            while not stop.is_set():
                try:
                    values = client.embed_text(TEXTS)
                    done.append((time.monotonic(), client.versions["text"], values))
                except Exception as error:
                    errors.append(error)
                    break

    workers = [threading.Thread(target=embed) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: done or errors)
        yield done
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not errors


def wait_until(condition):
    end = time.monotonic() + 80
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_new_version_in_the_middle(export_folder, tmp_path):
    """Every call is of one version while the export is replaced; none fails."""
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    with (
        start_server(folder, poll_seconds=0.1, http_port=None) as server,
        embedding_meanwhile(f"127.0.0.1:{server.port}", rows_per_request=2) as done,
    ):
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        path.with_suffix(".new").write_text(json.dumps({**manifest, "version": 2}))
        path.with_suffix(".new").replace(path)
        wait_until(lambda: done[-1][1] == 2)
    versions = [version for _, version, _ in done]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}


SERVE = """
import sys
from mite_tf.serving import serve
serve(sys.argv[1], port=int(sys.argv[2]), http_port=None, backend="onnx")
"""


@of_unknown
def test_a_killed_server_is_reached_again(export_folder, local):
    """`kill -9` in the middle of calls, and another start on the same port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(export_folder), str(port)]
    expected = local.embed_text(TEXTS)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with embedding_meanwhile(
            f"127.0.0.1:{port}", threads=3, rows_per_request=1, timeout=90
        ) as done:
            wait_until(lambda: len(done) >= 5)
            process.kill()
            process.wait()
            killed = time.monotonic()
            time.sleep(0.5)
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            wait_until(lambda: sum(at > killed + 0.5 for at, _, _ in done) >= 5)
    finally:
        process.kill()
        process.wait()
    for _, _, values in done:
        np.testing.assert_allclose(values, expected, atol=1e-6)
