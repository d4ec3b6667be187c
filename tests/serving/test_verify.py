"""The proof of a server holds for one that works, and names what one does wrong."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys

import grpc
import numpy as np
import pytest
import trustme

from mite_tf.cli import main
from mite_tf.export import read_manifest
from mite_tf.export.verification.golden import write_golden
from mite_tf.serving import verify_server
from mite_tf.serving.server import TLS, start_server
from tests.serving.deployment.files import SERVING
from tests.serving.deployment.tampering import (
    between,
    codes_through,
    embeddings_through,
    still_loading,
)


@pytest.fixture(scope="module")
def golden(export, tmp_path_factory):
    """What an export says of itself: its manifest, and cases with the answers of Keras."""
    folder = tmp_path_factory.mktemp("golden")
    write_golden(folder, export.keras.encoders)
    shutil.copy(export.path / "manifest.json", folder)
    return folder


def failed(golden, port, **options):
    checks = verify_server(golden, f"localhost:{port}", **options)
    return {check.name: str(check) for check in checks if not check.passed}


def test_a_server_that_works_passes(server, golden):
    host, http = f"localhost:{server.port}", f"localhost:{server.http_port}"
    checks = verify_server(golden, host, http=http)
    assert [str(check) for check in checks if not check.passed] == []
    assert [check.name for check in checks] == [
        "status", "health", "signatures", "text, one batch", "text, one by one",
        "image, one batch", "image, one by one", "many at once", "refusals", "REST", "metrics",
    ]  # fmt: skip


def test_other_answers_than_keras_gave_are_noticed(server, golden, tmp_path, capsys):
    folder = shutil.copytree(golden, tmp_path / "golden")
    path = folder / "verification" / "captions.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    cases[3]["embedding"][0] += 0.001
    path.write_text(json.dumps(cases), encoding="utf-8")
    result = tmp_path / "checks.json"
    host = f"localhost:{server.port}"
    assert main(["verify", str(folder), "--server", host, "--json", str(result)]) == 1
    told = capsys.readouterr().out
    assert "failed text, one by one: 0.001, at most 0.0001 is allowed" in told
    assert "3 failed" in told
    found = json.loads(result.read_text())
    assert found["text, one batch"] == {"difference": pytest.approx(1e-3, abs=1e-5),
                                        "tolerance": 1e-4}  # fmt: skip
    assert found["status"] == {"passed": True, "detail": "image [1], text [1]"}
    assert not failed(folder, server.port, tolerance=0.01)


def test_what_the_manifest_does_not_describe_is_named(server, golden, tmp_path):
    manifest = read_manifest(golden)
    text = {
        **manifest.text["signatures"],
        "token_ids": {"input": "token_ids", "dtype": "int64", "shape": [None, 40]},
        "words": {"input": "words", "dtype": "string", "shape": [None]},
    }
    folder = shutil.copytree(golden, tmp_path / "golden")
    changed = dataclasses.replace(manifest, version=3, text={**manifest.text, "signatures": text})
    changed.write(folder)
    assert failed(folder, server.port) == {
        "signatures": "failed signatures: image: version 1 is served; the export is version 3; "
        "text: version 1 is served; the export is version 3; "
        "text, token_ids: token_ids int32 [-1, -1] -> embedding float [-1, 16] is served; "
        "the manifest describes token_ids int64 [-1, 40] -> embedding float [-1, 16]; "
        "text, words: nothing is served; "
        "the manifest describes words string [-1] -> embedding float [-1, 16]"
    }


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (embeddings_through(lambda rows: rows * 2), {"text, one batch": "at most"}),
        (embeddings_through(lambda rows: rows * np.nan), {"image, one by one": "inf"}),
        (embeddings_through(lambda rows: rows[::-1]), {"text, one batch": "at most"}),
        (codes_through(lambda code: grpc.StatusCode.UNKNOWN), {"refusals": "UNKNOWN"}),
        (still_loading, {"status": "AVAILABLE"}),
    ],
)
def test_what_is_wrong_is_named(server, golden, tamper, expected):
    with between(server.port, tamper) as port:
        found = failed(golden, port, wait=0.2)
    for name, part in expected.items():
        assert part in found[name]


def test_answers_that_go_to_a_neighbour_are_noticed(server, golden):
    last = []

    def swap(rows):
        last.append(rows)
        return last[-2] if len(rows) == 1 and len(last) > 40 and len(last[-2]) == 1 else rows

    with between(server.port, embeddings_through(swap)) as port:
        assert set(failed(golden, port)) >= {"many at once"}


def test_nobody_there_is_one_failure(golden):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("localhost", 0))
        checks = verify_server(golden, f"localhost:{taken.getsockname()[1]}", wait=0.3)
    assert [(check.name, check.passed) for check in checks] == [("status", False)]


def run(*arguments):
    command = [SERVING / "smoke.sh", *map(str, arguments)]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_the_script_ends_with_1_where_a_check_failed(server, golden):
    # REST is asked of a port that speaks gRPC.
    done = run(golden, f"localhost:{server.port}", "--http", f"localhost:{server.port}")
    assert done.returncode == 1
    assert "failed REST: " in done.stdout
    assert "2 failed" in done.stdout
    done = run(golden)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: " in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--server", "localhost", "--cert", "client.pem"], "key is missing"),
        (["--server", "localhost", "--token-file", "none"], "none: cannot be read"),
        (["--http", "localhost:8501"], "--http needs --server HOST"),
    ],
)
def test_a_wrong_option_is_named(options, message, golden, capsys):
    assert main(["verify", str(golden), *options]) == 2
    assert message in capsys.readouterr().err


def test_mutual_tls(export_folder, golden, tmp_path):
    authority = trustme.CA()
    pems = {}
    for name in ("localhost", "client"):
        certificate = authority.issue_cert(name)
        pems[name] = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        certificate.cert_chain_pems[0].write_to_path(pems[name][0])
        certificate.private_key_pem.write_to_path(pems[name][1])
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    cert, key = pems["localhost"]
    tls = TLS(cert=cert, key=key, client_ca=ca)
    with start_server(export_folder, tls=tls, http_port=None) as running:
        host = ["verify", str(golden), "--server", f"localhost:{running.port}"]
        own = ["--cert", str(pems["client"][0]), "--key", str(pems["client"][1])]
        assert main([*host, "--ca", str(ca), *own]) == 0
        for less in (["--tls", "--ca", str(ca)], []):
            assert main([*host, "--wait", "1", *less]) == 1


def test_no_tensorflow_is_loaded(golden, server, run_python):
    done = run_python(
        "import sys; from mite_tf.cli import main; "
        "assert main(['verify', sys.argv[1], '--server', sys.argv[2]]) == 0; "
        "print([name for name in sys.modules if name.startswith(('tensorflow', 'keras'))])",
        golden, f"localhost:{server.port}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["all ok", "[]"]
