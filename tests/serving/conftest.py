"""One server of the export that tests share, for all tests of serving."""

from __future__ import annotations

import pytest

from mite_tf.serving.server import start_server
from tests.serving.stubs import stubs_of


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
