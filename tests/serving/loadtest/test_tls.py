"""Load tests of a server that encrypts."""

import pytest
import trustme

from mite_tf.errors import MiteError
from mite_tf.serving import ClientTLS, start_server
from mite_tf.serving.loadtest import load_test
from mite_tf.serving.server import TLS


def test_mutual_tls(export_folder, tmp_path):
    authority = trustme.CA()
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key", "mine", "mine_key")}
    server_certificate = authority.issue_cert("localhost")
    mine = authority.issue_cert("client")
    authority.cert_pem.write_to_path(files["ca"])
    server_certificate.cert_chain_pems[0].write_to_path(files["cert"])
    server_certificate.private_key_pem.write_to_path(files["key"])
    mine.cert_chain_pems[0].write_to_path(files["mine"])
    mine.private_key_pem.write_to_path(files["mine_key"])
    tls = TLS(cert=files["cert"], key=files["key"], client_ca=files["ca"])
    load = {"clients": 2, "seconds": 0.5, "warmup": 0, "deadline": 5, "quiet": True}
    with start_server(export_folder, tls=tls, http_port=None) as server:
        address = f"localhost:{server.port}"
        known = ClientTLS(ca=files["ca"], certificate=files["mine"], key=files["mine_key"])
        result = load_test(address, tls=known, token="secret", **load)
        assert result.errors == {}
        assert result.answered > 0
        for unknown in (False, ClientTLS(ca=files["ca"])):
            with pytest.raises(MiteError, match="UNAVAILABLE"):
                load_test(address, tls=unknown, **load)
