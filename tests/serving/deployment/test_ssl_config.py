"""The file for --ssl_config_file holds what a gRPC server needs, and that keeps strangers out."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import text_format

from mite_tf.serving.wire import messages
from tests.serving.certificates import write_certificates
from tests.serving.deployment.files import SETTINGS

SCRIPT = SETTINGS / "ssl_config.sh"


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """Key, certificate and authority of a server; a client's certificates, and a stranger's."""
    folder = tmp_path_factory.mktemp("pems")
    ca, (cert, key), client = write_certificates(folder, "localhost", "client")
    _, stranger = write_certificates(tmp_path_factory.mktemp("stranger"), "client")
    return (key, cert, ca), client, stranger


def ssl_config(*paths):
    done = subprocess.run(["bash", SCRIPT, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return text_format.Parse(done.stdout, messages.SSLConfig())


def test_files_come_back_whole(pems):
    key, cert, ca = pems[0]
    config = ssl_config(key, cert, ca)
    assert config.server_key == key.read_text()
    assert config.server_cert == cert.read_text()
    assert config.custom_ca == ca.read_text()
    assert config.client_verify


def test_without_an_authority_no_certificate_is_asked_of_clients(pems):
    key, cert, _ = pems[0]
    config = ssl_config(key, cert)
    assert not config.custom_ca
    assert not config.client_verify


def test_what_tools_write_around_a_certificate_is_left_out(pems, tmp_path):
    key, cert, ca = pems[0]
    noisy = tmp_path / "noisy.pem"
    noisy.write_text('Bag Attributes "x\\y"\r\n' + ca.read_text().replace("\n", "\r\n"))
    assert ssl_config(key, cert, noisy).custom_ca == ca.read_text()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_file_that_is_no_pem_is_named(pems, tmp_path, missing):
    paths = [str(path) for path in pems[0]]
    paths[missing] = str(tmp_path / "absent.pem")
    done = subprocess.run(["bash", SCRIPT, *paths], capture_output=True, text=True)
    assert done.returncode == 2
    assert "absent.pem" in done.stderr


def test_a_server_made_of_it_wants_a_certificate_of_the_authority(pems):
    paths, client, stranger = pems
    config = ssl_config(*paths)
    # As BuildServerCredentials in model_servers/server.cc does.
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode(),
        require_client_auth=config.client_verify,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        assert reaches(port, config, client)
        assert not reaches(port, config, stranger)
        assert not reaches(port, config, None)
    finally:
        server.stop(None).wait()


def reaches(port, config, certificate):
    chain, key = (path.read_bytes() for path in certificate) if certificate else (None, None)
    credentials = grpc.ssl_channel_credentials(config.custom_ca.encode(), key, chain)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        call = channel.unary_unary("/nothing/Nothing")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
        # A server that lets the client in says that it has no such method.
        return error.value.code() is grpc.StatusCode.UNIMPLEMENTED
