"""Encryption, with certificates made here."""

import json
import ssl
import urllib.error
import urllib.request

import grpc
import pytest
import trustme

from mite_tf.errors import MiteError
from mite_tf.serving.server import TLS, start_server
from tests.serving.stubs import close, stubs_of


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    authority, other = trustme.CA(), trustme.CA()
    own = authority.issue_cert("localhost", "127.0.0.1")
    own.private_key_pem.write_to_path(folder / "key.pem")
    for number, blob in enumerate(own.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=number > 0)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert("client")
    stranger = other.issue_cert("stranger")
    for name, each in (("client", client), ("stranger", stranger)):
        each.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder, authority, client, stranger


def grpc_credentials(authority, client=None):
    key = client and client.private_key_pem.bytes()
    chain = client and b"".join(blob.bytes() for blob in client.cert_chain_pems)
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), key, chain)


def over_https(port, folder, client=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(folder / f"{client}.pem")
    url = f"https://127.0.0.1:{port}/v1/models/text:predict"
    with urllib.request.urlopen(
        url, b'{"instances": ["a dog"]}', timeout=10, context=context
    ) as answer:
        return json.loads(answer.read())["predictions"]


def test_tls(export, pki):
    folder, authority, *_ = pki
    expected = export.keras.text(["a dog"])
    tls = TLS(cert=folder / "cert.pem", key=folder / "key.pem")
    with start_server(export.path, tls=tls) as running:
        with stubs_of(running.port, grpc_credentials(authority), "localhost") as stubs:
            close(stubs.embed("text", text=["a dog"]), expected)
        close(over_https(running.http_port, folder), expected)
        with stubs_of(running.port) as plain:
            assert plain.refused("text", text=["a"], timeout=5)[0] == "UNAVAILABLE"
        with stubs_of(running.port, grpc_credentials(trustme.CA()), "localhost") as stranger:
            assert stranger.refused("text", text=["a"], timeout=5)[0] == "UNAVAILABLE"
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{running.http_port}/v1/models/text")


def test_mutual_tls(export, pki):
    folder, authority, client, stranger = pki
    expected = export.keras.text(["a dog"])
    tls = TLS(cert=folder / "cert.pem", key=folder / "key.pem", client_ca=folder / "ca.pem")
    with start_server(export.path, tls=tls) as running:
        with stubs_of(running.port, grpc_credentials(authority, client), "localhost") as stubs:
            close(stubs.embed("text", text=["a dog"]), expected)
        close(over_https(running.http_port, folder, "client"), expected)
        for who in (None, stranger):
            credentials = grpc_credentials(authority, who)
            with stubs_of(running.port, credentials, "localhost") as stubs:
                assert stubs.refused("text", text=["a"], timeout=5)[0] == "UNAVAILABLE"
        for name in (None, "stranger"):
            with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
                over_https(running.http_port, folder, name)


@pytest.mark.parametrize("name", ["cert", "key"])
def test_unreadable_certificates_are_told(export_folder, pki, tmp_path, name):
    folder = pki[0]
    paths = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    with pytest.raises(MiteError, match="cannot be read"):
        start_server(export_folder, tls=TLS(**paths | {name: tmp_path / "none.pem"}))
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(MiteError):
        start_server(export_folder, tls=TLS(**paths | {name: tmp_path / "bad.pem"}))
