import pytest

from tests.serving.client.fake_server import FakeServer


@pytest.fixture
def fake():
    """A server that fails on demand."""
    with FakeServer() as server:
        yield server
