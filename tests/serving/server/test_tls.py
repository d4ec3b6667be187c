"""Encryption, with certificates made here."""

import json
import ssl
import urllib.error
import urllib.request

import grpc
import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.server import TLS, start_server
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


@pytest.mark.parametrize("name", ["cert", "key"])
def test_unreadable_certificates_are_told(export_folder, pki, tmp_path, name):
    paths = {"cert": pki[0] / "localhost.pem", "key": pki[0] / "localhost.key"}
    with pytest.raises(MiteError, match="cannot be read"):
        start_server(export_folder, tls=TLS(**paths | {name: tmp_path / "none.pem"}))
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(MiteError):
        start_server(export_folder, tls=TLS(**paths | {name: tmp_path / "bad.pem"}))
