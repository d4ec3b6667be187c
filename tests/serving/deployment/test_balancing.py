"""What the headless service and the age of connections rely on, tried with gRPC itself."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from mite_tf.serving.client import EmbeddingClient
from mite_tf.serving.server import start_server
from tests.serving.deployment.tampering import Forward

ROUND_ROBIN = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')


class Counted(Forward):
    """Forwards, and counts the connections that calls came through."""

    def __init__(self, channel):
        super().__init__(channel, lambda method, answer: answer)
        self.peers = Counter()

    def service(self, details):
        inner = super().service(details)

        def call(request, context):
            self.peers[context.peer()] += 1
            return inner.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(call)


@pytest.fixture
def pod(export_folder):
    """Makes servers that stand for pods."""
    with (
        start_server(export_folder, http_port=None) as real,
        grpc.insecure_channel(f"localhost:{real.port}") as channel,
    ):
        servers = []

        def start(*options):
            handler = Counted(channel)
            server = grpc.server(ThreadPoolExecutor(8), handlers=[handler], options=options)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            return port, handler

        yield start
        for server in servers:
            server.stop(None).wait()


def test_one_client_spreads_its_requests_over_all_pods(pod):
    pods = [pod() for _ in range(3)]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port, _ in pods)
    with EmbeddingClient(target, channel_options=[ROUND_ROBIN]) as client:
        for _ in range(60):
            client.embed_text(["a dog"])
    counts = [handler.peers.total() for _, handler in pods]
    assert sum(counts) == 60
    assert min(counts) > 10


def test_connections_that_grow_old_lose_no_request(pod):
    age = ("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 1000)
    port, handler = pod(*age)
    # Nothing is sent a second time, so that a lost request would be an error.
    with EmbeddingClient(f"127.0.0.1:{port}", retries=0, wait_for_ready=False) as client:
        end = time.monotonic() + 1.5
        asked = 0
        while time.monotonic() < end:
            client.embed_text(["a dog"])
            asked += 1
    assert handler.peers.total() == asked
    assert len(handler.peers) > 3
