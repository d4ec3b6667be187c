"""Versions that come and go, and folders that are served or not."""

import asyncio
import contextlib
import itertools
import shutil
import time
import urllib.request
import weakref
from pathlib import Path

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST, read_version
from mite_tf.export.versions import published_when_whole
from mite_tf.serving.backends import open_backend
from mite_tf.serving.server import start_server
from mite_tf.serving.server.models import _look
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.server import run_server
from tests.serving.exports import Keras, make_encoders, write_export
from tests.serving.server.under_test import (
    CAPTIONS,
    asking,
    metrics,
    wait_until,
)
from tests.serving.stubs import close, stubs_of


@pytest.fixture(scope="session")
def second(export_folder, tmp_path_factory):
    """The same folder after a second export, of other weights."""
    folder = tmp_path_factory.mktemp("second") / "export"
    shutil.copytree(export_folder, folder)
    encoders = make_encoders(word_size=16, hidden_size=16, seed=1)
    write_export(folder, encoders)
    return folder, Keras(encoders)


@pytest.fixture
def folder(export_folder, tmp_path):
    """A copy of the export, to be changed."""
    return Path(shutil.copytree(export_folder, tmp_path / "export"))


def publish(folder, newer):
    """What a second export does to a folder."""
    version = read_version(newer)
    with published_when_whole(folder) as (draft, number):
        assert number == version.manifest.version
        for name in version.manifest.files:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(version.path(name), draft / name)
        shutil.copy(newer / MANIFEST, draft)


def renew(folder, newer):
    """A copy over an older one, file by file: the SavedModels first, the manifest last."""
    for name in ("savedmodel", "onnx", "tokenizer.json", MANIFEST):
        if (newer / name).is_dir():
            shutil.copytree(newer / name, folder / name, dirs_exist_ok=True)
        else:
            shutil.copy(newer / name, folder / name)


@pytest.mark.parametrize("backend", ["onnx", pytest.param("savedmodel", marks=pytest.mark.slow)])
def test_a_new_version_takes_over_under_traffic(export, second, folder, backend):
    import tensorflow as tf

    newer, keras = second
    expected = {1: export.keras.text(CAPTIONS), 2: keras.text(CAPTIONS)}
    assert np.abs(expected[1] - expected[2]).max() > 0.1
    with start_server(folder, backend=backend, poll_seconds=0.1) as running:
        with asking(running.port) as (answers, errors), stubs_of(running.port) as stubs:
            wait_until(lambda: len(answers) > 50)
            publish(folder, newer)
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


def test_is_told_when_the_old_version_is_gone(second, folder, monkeypatch):
    backends = []

    def opened(*arguments, **options):
        backend = open_backend(*arguments, **options)
        backends.append(weakref.ref(backend))
        return backend

    monkeypatch.setattr("mite_tf.serving.server.models.open_backend", opened)
    alive = []

    def look():
        alive.append([ref() is not None for ref in backends])

    async def serve():
        options = ServerOptions(export=folder, port=0, http_port=None, poll_seconds=0.05)
        async with run_server(options, loaded=look):
            assert alive == [[True, True]]
            renew(folder, second[0])
            while len(alive) < 2:
                await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(serve(), 60))
    assert alive[1:] == [[False, False, True, True]]


def test_half_an_export_and_a_broken_one_leave_the_old_version_serving(export, second, folder):
    newer, keras = second
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


def refusals(caplog):
    return [each.error for each in caplog.records if each.message == "version refused"]


def test_every_file_is_watched(second, tmp_path):
    folder = shutil.copytree(second[0], tmp_path / "export", symlinks=True)
    version, seen = read_version(folder), [_look(folder)]
    for name in (*version.manifest.files, MANIFEST):
        path = version.path(name)
        data = path.read_bytes()
        path.with_name(f".{path.name}").write_bytes(data)
        path.with_name(f".{path.name}").replace(path)  # by one of the same size
        seen.append(_look(folder))
    assert all(one != other for one, other in itertools.pairwise(seen))
    with contextlib.suppress(InterruptedError), published_when_whole(folder) as (draft, _):
        before = _look(folder)
        (draft / "in the making").write_text("")
        assert _look(folder) == before
        raise InterruptedError


@pytest.mark.parametrize(
    ("backend", "first"),
    [("onnx", "manifest.json"),
     pytest.param("onnx", "savedmodel/text", marks=pytest.mark.slow),
     pytest.param("savedmodel", "manifest.json", marks=pytest.mark.slow),
     pytest.param("savedmodel", "savedmodel/text", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_version_that_arrives_slowly_is_served_in_the_end(backend, first, second, folder, caplog):
    newer, keras = second
    version = read_version(newer)
    moved = [*version.manifest.files, MANIFEST]
    moved.sort(key=lambda name: (not name.startswith(first), name.startswith("savedmodel"), name))
    with (
        start_server(folder, backend=backend, poll_seconds=0.02) as running,
        stubs_of(running.port) as stubs,
    ):
        for name in moved:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = version.path(name).read_bytes()
            if not target.exists():  # in two parts, then by another name as rsync does it
                target.write_bytes(data[: len(data) // 2])
                time.sleep(0.03)
            (target.parent / f".{target.name}.x").write_bytes(data)
            (target.parent / f".{target.name}.x").replace(target)
        wait_until(lambda: stubs.status("text") == {1: 50, 2: 30})
        close(stubs.embed("text", text=CAPTIONS), keras.text(CAPTIONS))
    told = refusals(caplog)
    assert all(told)
    assert all(one != other for one, other in itertools.pairwise(told))


@pytest.mark.parametrize(
    ("backend", "name"),
    [("onnx", "onnx/image_encoder.onnx"),
     ("onnx", "savedmodel/text/2/assets.extra/tf_serving_warmup_requests"),
     pytest.param("savedmodel", "savedmodel/image/2/saved_model.pb", marks=pytest.mark.slow),
     pytest.param("savedmodel", "savedmodel/text/2/variables/variables.data-00000-of-00001",
                  marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_version_that_is_mended_later_is_served(backend, name, second, folder, caplog):
    newer, keras = second
    broken = shutil.copytree(newer, folder.parent / "broken")
    good = (broken / name).read_bytes()
    (broken / name).write_bytes(good[:-40])
    with (
        start_server(folder, backend=backend, poll_seconds=0.02) as running,
        stubs_of(running.port) as stubs,
    ):
        renew(folder, broken)
        wait_until(lambda: stubs.status("text") == {1: 30, 2: 50})
        time.sleep(0.3)
        told = refusals(caplog)
        assert told[-1]
        assert len(told) <= 3  # and not each time that it looks
        (folder / name).write_bytes(good)
        wait_until(lambda: stubs.status("text") == {1: 50, 2: 30})
        close(stubs.embed("text", text=CAPTIONS), keras.text(CAPTIONS))


def test_warm_up_requests_that_are_damaged_are_told_at_the_start(folder):
    path = folder / "savedmodel/text/1/assets.extra/tf_serving_warmup_requests"
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(MiteError, match="warmup_requests: not the file that was exported"):
        start_server(folder)


def test_a_folder_that_vanishes_and_comes_back_and_a_manifest_that_lies(
    export, second, folder, caplog
):
    newer, keras = second
    with start_server(folder, poll_seconds=0.02) as running, stubs_of(running.port) as stubs:
        folder.rename(folder.parent / "away")
        wait_until(lambda: refusals(caplog))
        (folder.parent / "away").rename(folder)
        text = (folder / MANIFEST).read_text()
        for lie in (text[:500], text.replace('"version": 1', f'"version": {10**30}'),
                    text.replace('"height": 32', '"height": 100000')):  # fmt: skip
            known = len(refusals(caplog))
            (folder / MANIFEST).write_text(lie)
            wait_until(lambda known=known: len(refusals(caplog)) > known)
            close(stubs.embed("text", text=CAPTIONS), export.keras.text(CAPTIONS))
        assert all(refusals(caplog))
        (folder / MANIFEST).write_text(text)
        publish(folder, newer)
        wait_until(lambda: stubs.status("text") == {1: 50, 2: 30})
        close(stubs.embed("text", text=CAPTIONS), keras.text(CAPTIONS))
        (folder / "back").symlink_to("versions/1")  # and back
        (folder / "back").replace(folder / "current")
        wait_until(lambda: stubs.status("text") == {1: 30, 2: 50})
        close(stubs.embed("text", text=CAPTIONS), export.keras.text(CAPTIONS))


def test_an_error_without_words_has_a_reason(second, folder, caplog, monkeypatch):
    with start_server(folder, poll_seconds=0.02) as running, stubs_of(running.port) as stubs:

        def full(*_, **__):
            raise MemoryError

        monkeypatch.setattr("mite_tf.serving.server.models.open_backend", full)
        publish(folder, second[0])
        wait_until(lambda: stubs.status("text") == {1: 30, 2: 50})
    assert refusals(caplog) == ["MemoryError"]


def test_nothing_is_served_of_a_damaged_export(folder):
    (folder / "onnx/image_encoder.onnx").write_bytes(b"broken")
    with pytest.raises(MiteError, match="not the file that was exported"):
        start_server(folder)


@pytest.mark.parametrize("backend", ["onnx", "savedmodel"])
def test_what_lies_outside_of_the_folder_is_not_served(folder, tmp_path, backend):
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
