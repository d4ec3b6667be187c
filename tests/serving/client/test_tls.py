"""Certificates, and what is said when the two sides do not agree on them; tokens."""

import time

import grpc
import pytest
import trustme

from mite_tf.errors import MiteError
from mite_tf.serving.client import ClientTLS, EmbeddingClient, EmbeddingError
from tests.serving.client.fake_server import FakeServer


class Certificates:
    def __init__(self):
        authority = trustme.CA()
        server = authority.issue_cert("localhost")
        client = authority.issue_cert("client@example.org")
        self.ca = authority.cert_pem.bytes()
        self.chain = [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())]
        self.key = client.private_key_pem.bytes()
        self.certificate = client.cert_chain_pems[0].bytes()


@pytest.fixture(scope="module")
def certificates():
    return Certificates()


@pytest.fixture(scope="module")
def stranger():
    """Certificates of somebody else."""
    return Certificates()


@pytest.fixture(scope="module")
def encrypted(certificates):
    with FakeServer(credentials=grpc.ssl_server_credentials(certificates.chain)) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(certificates):
    credentials = grpc.ssl_server_credentials(certificates.chain, certificates.ca, True)
    with FakeServer(credentials=credentials) as server:
        yield server


def embeds(target, **options):
    with EmbeddingClient(target, timeout=20, **options) as client:
        return client.embed_text(["a"]).shape == (1, 3)


def refused(target, message, **options):
    started = time.monotonic()
    with (
        EmbeddingClient(target, timeout=20, **options) as client,
        pytest.raises(EmbeddingError, match=message) as caught,
    ):
        client.embed_text(["a"])
    assert caught.value.code == "UNAVAILABLE"
    assert time.monotonic() - started < 5  # long before the deadline
    return True


def test_tls(encrypted, certificates, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(certificates.ca)
    for ca in (certificates.ca, path, str(path)):
        assert embeds(encrypted.target, tls=ClientTLS(ca=ca))


def test_mutual_tls(mutual, certificates):
    tls = ClientTLS(ca=certificates.ca, certificate=certificates.certificate, key=certificates.key)
    assert embeds(mutual.target, tls=tls)


def test_another_name_in_the_certificate(encrypted, certificates):
    target = encrypted.target.replace("localhost", "127.0.0.1")
    assert refused(target, "Hostname", tls=ClientTLS(ca=certificates.ca))
    assert embeds(target, tls=ClientTLS(ca=certificates.ca, server_name="localhost"))


def test_plain_text_to_tls(encrypted, mutual):
    assert refused(
        encrypted.target, r"speaks TLS, and this client does not.*ClientTLS\(ca=…\) \(--ca\)\.$"
    )
    assert refused(mutual.target, "speaks TLS, .*with certificate and key")


def test_tls_to_plain_text(fake, certificates):
    assert refused(fake.target, "No TLS connection", tls=ClientTLS(ca=certificates.ca))


def test_an_authority_that_is_not_trusted(encrypted, stranger):
    assert refused(encrypted.target, "CERTIFICATE_VERIFY_FAILED", tls=ClientTLS(ca=stranger.ca))


def test_a_client_without_or_with_a_strange_certificate(mutual, certificates, stranger):
    assert refused(
        mutual.target, "asks for a client certificate", tls=ClientTLS(ca=certificates.ca)
    )
    tls = ClientTLS(ca=certificates.ca, certificate=stranger.certificate, key=stranger.key)
    assert refused(mutual.target, "does not accept the certificate", tls=tls)


def test_files_that_are_none(tmp_path, certificates):
    for tls, message in (
        (ClientTLS(ca=tmp_path / "none.pem"), "ca: .*none.pem: cannot be read"),
        (ClientTLS(ca=b"nonsense"), r"ca \(bytes\): no certificate in PEM"),
        (ClientTLS(certificate=certificates.certificate, key=certificates.ca), "no private key"),
    ):
        with pytest.raises(MiteError, match=message):
            EmbeddingClient("localhost:1", tls=tls)


def test_a_token_is_sent_and_renewed(fake):
    tokens = iter(["first", "second"])
    with EmbeddingClient(fake.target, token=lambda: next(tokens)) as client:
        client.embed_text(["a"])
        client.embed_text(["a"])
    with EmbeddingClient(fake.target, token="fixed") as client:
        client.embed_text(["a"])
    with EmbeddingClient(fake.target) as client:
        client.embed_text(["a"])
    assert [each.get("authorization") for each in fake.metadata] == [
        "Bearer first", "Bearer second", "Bearer fixed", None
    ]  # fmt: skip


def test_a_token_does_not_leave_in_the_clear(fake):
    for far in ("models.example.org:8500", "localhost.example.org:8500", "127.example.org:8500"):
        with pytest.raises(MiteError, match="in the clear"):
            EmbeddingClient(far, token="secret")
    for near in ("localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "unix:/run/a"):
        EmbeddingClient(near, token="secret").close()
    EmbeddingClient(far, token="secret", token_in_clear=True).close()
    EmbeddingClient(far, token="secret", tls=ClientTLS()).close()


@pytest.mark.parametrize("token", ["two\nlines", "café", b"bytes"])
def test_a_token_that_is_no_header_is_refused(fake, token):
    with (
        EmbeddingClient(fake.target, token=token) as client,
        pytest.raises(MiteError, match="printable ASCII"),
    ):
        client.embed_text(["a"])
