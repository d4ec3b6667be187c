"""Backends opened as a program does that asks for embeddings in its own process."""

import shutil
import threading
import time

import numpy as np
import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import MANIFEST
from mite_tf.serving.backends import choose_kind, open_backend
from tests.serving.stubs import close, images

CAPTIONS = ["a dog", "red circle."]


def texts(captions):
    return np.array([each.encode() for each in captions], object)


@pytest.mark.parametrize("kind", ["onnx", "savedmodel"])
def test_embeddings_are_those_of_keras(export, kind):
    text = open_backend(export.path, "text", kind)
    assert (text.name, text.version, text.embedding_size) == ("text", 1, 16)
    found = text.run(text.prepare("serving_default", texts(CAPTIONS)))
    close(found, export.keras.text(CAPTIONS))
    image = open_backend(export.path, "image", kind)
    files = [images()["photo.jpg"], images()["grey.jpg"]]
    found = image.run(image.prepare("serving_default", np.array(files, object)))
    close(found, export.keras.images(files), 2e-5)
    assert found.dtype == np.float32


def test_what_is_loaded_does_not_change_with_the_folder(export, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(export.path, folder)
    backend = open_backend(folder, "text")
    shutil.rmtree(folder)
    found = backend.run(backend.prepare("serving_default", texts(CAPTIONS)))
    close(found, export.keras.text(CAPTIONS))


def test_a_folder_in_the_making_is_waited_for(export_folder, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    whole = (folder / "onnx/text_encoder.onnx").read_bytes()
    (folder / "onnx/text_encoder.onnx").write_bytes(b"half")
    timer = threading.Timer(0.5, (folder / "onnx/text_encoder.onnx").write_bytes, [whole])
    timer.start()
    start = time.monotonic()
    assert open_backend(folder, "text").version == 1
    assert time.monotonic() - start > 0.4
    timer.join()


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("dog", "onnx", "Unknown model 'dog'; there are image, text"),
        ("text", "dog", "Unknown backend 'dog'"),
        ("text", "onnx-int8", r"holds no onnx/text_encoder\.int8\.onnx"),
    ],
)
def test_what_is_not_there(export_folder, model, kind, message, monkeypatch):
    monkeypatch.setattr("mite_tf.serving.backends.open._PATIENCE", 0)
    with pytest.raises(MiteError, match=message):
        open_backend(export_folder, model, kind)


def test_no_export(tmp_path, monkeypatch):
    monkeypatch.setattr("mite_tf.serving.backends.open._PATIENCE", 0)
    with pytest.raises(MiteError, match=f"holds no {MANIFEST}"):
        open_backend(tmp_path, "text")
    with pytest.raises(MiteError, match="no such folder"):
        choose_kind(tmp_path / "none")
