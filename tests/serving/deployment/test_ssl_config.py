"""The file for --ssl_config_file holds what a gRPC server needs, and that keeps strangers out."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trustme
from google.protobuf import text_format

from mite_tf.serving.wire import messages
from tests.serving.deployment.files import SETTINGS

SCRIPT = SETTINGS / "ssl_config.sh"


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """Key, certificate and authority of a server, as files; and certificates for clients."""
    folder = tmp_path_factory.mktemp("pems")
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    paths = {name: folder / f"{name}.pem" for name in ("key", "certificate", "ca")}
    server.private_key_pem.write_to_path(paths["key"])
    for part in server.cert_chain_pems:
        part.write_to_path(paths["certificate"], append=True)
    authority.cert_pem.write_to_path(paths["ca"])
    return paths, authority


def ssl_config(*paths):
    done = subprocess.run(["bash", SCRIPT, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return text_format.Parse(done.stdout, messages.SSLConfig())


def test_files_come_back_whole(pems):
    paths, _ = pems
    config = ssl_config(*paths.values())
    assert config.server_key == paths["key"].read_text()
    assert config.server_cert == paths["certificate"].read_text()
    assert config.custom_ca == paths["ca"].read_text()
    assert config.client_verify


def test_without_an_authority_no_certificate_is_asked_of_clients(pems):
    paths, _ = pems
    config = ssl_config(paths["key"], paths["certificate"])
    assert not config.custom_ca
    assert not config.client_verify


def test_what_tools_write_around_a_certificate_is_left_out(pems, tmp_path):
    paths, _ = pems
    noisy = tmp_path / "noisy.pem"
    noisy.write_text('Bag Attributes "x\\y"\r\n' + paths["ca"].read_text().replace("\n", "\r\n"))
    config = ssl_config(paths["key"], paths["certificate"], noisy)
    assert config.custom_ca == paths["ca"].read_text()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_file_that_is_no_pem_is_named(pems, tmp_path, missing):
    paths = [str(path) for path in pems[0].values()]
    paths[missing] = str(tmp_path / "absent.pem")
    done = subprocess.run(["bash", SCRIPT, *paths], capture_output=True, text=True)
    assert done.returncode == 2
    assert "absent.pem" in done.stderr


def test_a_server_made_of_it_wants_a_certificate_of_the_authority(pems):
    paths, authority = pems
    config = ssl_config(*paths.values())
    # As BuildServerCredentials in model_servers/server.cc does.
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode(),
        require_client_auth=config.client_verify,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    client = authority.issue_cert("client")
    stranger = trustme.CA().issue_cert("client")
    try:
        assert reaches(port, config, client)
        assert not reaches(port, config, stranger)
        assert not reaches(port, config, None)
    finally:
        server.stop(None).wait()


def reaches(port, config, certificate):
    key = chain = None
    if certificate:
        key = certificate.private_key_pem.bytes()
        chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
    credentials = grpc.ssl_channel_credentials(config.custom_ca.encode(), key, chain)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        call = channel.unary_unary("/nothing/Nothing")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
        # A server that lets the client in says that it has no such method.
        return error.value.code() is grpc.StatusCode.UNIMPLEMENTED
