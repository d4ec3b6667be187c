"""Load tests of a server that encrypts."""

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving import ClientTLS, start_server
from mite_tf.serving.loadtest import load_test
from mite_tf.serving.server import TLS
from tests.serving.certificates import write_certificates


def test_mutual_tls(export_folder, tmp_path):
    ca, (cert, key), (mine, mine_key) = write_certificates(tmp_path, "localhost", "client")
    tls = TLS(cert=cert, key=key, client_ca=ca)
    load = {"clients": 2, "seconds": 0.5, "warmup": 0, "deadline": 5, "quiet": True}
    with start_server(export_folder, tls=tls, http_port=None) as server:
        address = f"localhost:{server.port}"
        known = ClientTLS(ca=ca, certificate=mine, key=mine_key)
        result = load_test(address, tls=known, token="secret", **load)
        assert result.errors == {}
        assert result.answered > 0
        for unknown in (False, ClientTLS(ca=ca)):
            with pytest.raises(MiteError, match="UNAVAILABLE"):
                load_test(address, tls=unknown, **load)
