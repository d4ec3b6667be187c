"""One small export and one server of it, for all tests of serving."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.data.images import decode_image, preprocess
from mite_tf.serving.server import start_server
from tests.serving.exports import make_encoders, write_export
from tests.serving.stubs import stubs_of


class Keras:
    """What the Keras encoders of an export give: the truth of every test."""

    def __init__(self, encoders):
        self.encoders = encoders

    def text(self, captions):
        ids = self.encoders.tokenizer(tf.constant(list(captions)))
        return keras.ops.convert_to_numpy(self.encoders.text_encoder(ids, training=False))

    def images(self, files):
        pixels = [preprocess(decode_image(tf.constant(each)), self.encoders.preprocessing)
                  for each in files]  # fmt: skip
        return keras.ops.convert_to_numpy(
            self.encoders.image_encoder(np.stack(pixels), training=False)
        )


class Export(NamedTuple):
    path: object
    keras: Keras


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """Version 1 of a bag-of-words text encoder and a tiny CNN of 32 pixels; never changed."""
    encoders = make_encoders(word_size=16, hidden_size=16)
    path = tmp_path_factory.mktemp("serving") / "export"
    write_export(path, encoders)
    return Export(path, Keras(encoders))


@pytest.fixture(scope="session")
def export_folder(export):
    """Folder of that export."""
    return export.path


@pytest.fixture(scope="session")
def server(export_folder):
    """A local server of that export on ONNX Runtime, with `port` and `http_port`."""
    with start_server(export_folder) as running:
        yield running


@pytest.fixture
def address(server):
    """Where its gRPC listens."""
    return f"127.0.0.1:{server.port}"


@pytest.fixture
def stubs(server):
    """The public stubs of TensorFlow Serving, on that server."""
    with stubs_of(server.port) as opened:
        yield opened


@pytest.fixture(scope="session")
def savedmodel_server(export_folder):
    """A local server of that export on TensorFlow."""
    with start_server(export_folder, backend="savedmodel") as running:
        yield running
