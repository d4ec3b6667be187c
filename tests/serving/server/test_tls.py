"""Encryption, with certificates made here."""

import http.client
import json
import os
import socket
import ssl
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from mite_tf.errors import MiteError
from mite_tf.serving.server import TLS, ServerOptions, connections, http_connections, start_server
from tests.serving.certificates import write_certificates
from tests.serving.stubs import close, stubs_of


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Folder of our authority's certificates, and of those of another."""
    folder, other = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("other")
    write_certificates(folder, "localhost", "client")
    write_certificates(other, "client")
    return folder, other


def stubs_over_tls(port, folder, client=None):
    key = client and (client / "client.key").read_bytes()
    cert = client and (client / "client.pem").read_bytes()
    ca = (folder / "ca.pem").read_bytes()
    return stubs_of(port, grpc.ssl_channel_credentials(ca, key, cert))


def over_https(port, folder, client=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(client / "client.pem", client / "client.key")
    url = f"https://localhost:{port}/v1/models/text:predict"
    body = b'{"instances": ["a dog"]}'
    with urllib.request.urlopen(url, body, timeout=10, context=context) as answer:
        return json.loads(answer.read())["predictions"]


def test_who_has_spoken_stays_when_handshakes_do_not_end(export, pki, monkeypatch):
    monkeypatch.setattr(connections, "_MOST", 8)
    monkeypatch.setattr(connections, "_SILENCE", 300)
    folder, _ = pki
    tls = TLS(cert=folder / "localhost.pem", key=folder / "localhost.key")
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    with ExitStack() as stack:
        port = stack.enter_context(start_server(export.path, tls=tls, host="localhost")).http_port
        good = stack.enter_context(
            closing(http.client.HTTPSConnection("localhost", port, timeout=5, context=context))
        )

        def ask():
            good.request("GET", "/v1/models/text")
            return good.getresponse().read()

        first = ask()
        spoken = good.sock
        for _ in range(30):
            stack.enter_context(closing(socket.create_connection(("localhost", port))))
            assert ask() == first
            assert good.sock is spoken
        # A new one waits for those that say nothing, no longer.
        close(over_https(port, folder), export.keras.text(["a dog"]))


REFUSED = (urllib.error.URLError, ConnectionError)


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(export, pki, mutual):
    folder, other = pki
    expected = export.keras.text(["a dog"])
    client, client_ca = (folder, folder / "ca.pem") if mutual else (None, None)
    tls = TLS(cert=folder / "localhost.pem", key=folder / "localhost.key", client_ca=client_ca)
    with start_server(export.path, tls=tls, host="localhost") as running:
        with stubs_over_tls(running.port, folder, client) as stubs:
            close(stubs.embed("text", text=["a dog"]), expected)
        close(over_https(running.http_port, folder, client), expected)
        refused = [stubs_of(running.port), stubs_over_tls(running.port, other)]
        if mutual:
            refused += [stubs_over_tls(running.port, folder, who) for who in (None, other)]
            for who in (None, other):
                with pytest.raises(REFUSED):
                    over_https(running.http_port, folder, who)
        for each in refused:
            with each as stubs:
                assert stubs.refused("text", text=["a"], timeout=5)[0] == "UNAVAILABLE"
        with pytest.raises(REFUSED):
            urllib.request.urlopen(f"http://localhost:{running.http_port}/v1/models/text")


@pytest.fixture
def odd(pki, tmp_path):
    """Files that cannot be used: by name, with what the message says."""
    key = serialization.load_pem_private_key((pki[0] / "localhost.key").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "encrypted.key").write_bytes(encrypted)
    expired = trustme.CA().issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    expired.private_key_and_cert_chain_pem.write_to_path(tmp_path / "expired.pem")
    (tmp_path / "text.pem").write_text("nonsense")
    (tmp_path / "empty.pem").write_text("")
    begun = (pki[0] / "localhost.pem").read_text()[:200]
    (tmp_path / "cut.pem").write_text(f"{begun}\n-----END CERTIFICATE-----\n")
    (tmp_path / "folder.pem").mkdir()
    os.mkfifo(tmp_path / "pipe.pem")
    return tmp_path


CERT, KEY, ANY = {"cert"}, {"key"}, {"cert", "key", "client_ca"}


@pytest.mark.parametrize(
    ("name", "places", "told"),
    [
        ("none.pem", ANY, "none.pem: cannot be read: No such file"),
        ("text.pem", ANY, "text.pem: holds no"),
        ("empty.pem", ANY, "empty.pem: holds no"),
        ("folder.pem", ANY, "folder.pem: cannot be read: it is no file"),
        ("pipe.pem", ANY, "pipe.pem: cannot be read: it is no file"),
        ("cut.pem", {"cert", "client_ca"}, "cut.pem"),
        ("encrypted.key", KEY, "encrypted.key: is encrypted"),
        ("../other/client.key", KEY, "is not the key of"),
    ],
)
def test_certificates_that_cannot_be_used_are_told(pki, odd, name, places, told):
    path = pki[1] / "client.key" if "other" in name else odd / name
    good = {"cert": pki[0] / "localhost.pem", "key": pki[0] / "localhost.key"}
    for place in places:
        with pytest.raises(MiteError, match=told) as found:
            ServerOptions(export=odd, tls=TLS(**good | {place: path}))
        assert "\n" not in str(found.value)


def test_a_certificate_of_yesterday_is_told(odd):
    expired = odd / "expired.pem"
    with pytest.raises(MiteError, match=r"expired.pem: cannot be used: certificate has expired"):
        start_server(odd, tls=TLS(cert=expired, key=expired))


def test_a_handshake_that_never_ends_is_ended(export_folder, pki, monkeypatch):
    monkeypatch.setattr(http_connections, "HEAD_SECONDS", 0.3)
    tls = TLS(cert=pki[0] / "localhost.pem", key=pki[0] / "localhost.key")
    with start_server(export_folder, tls=tls) as running:
        connection = socket.create_connection(("127.0.0.1", running.http_port))
        connection.settimeout(5)
        connection.send(b"\x16\x03\x01")
        assert connection.recv(100) == b""
        connection.close()
