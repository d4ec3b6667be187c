"""The smoke test passes on a server that works, and names what one does wrong."""

import json
import os
import shutil
import socket
import subprocess
import sys

import grpc
import numpy as np
import pytest

from mite_tf.export.verification.golden import write_golden
from mite_tf.serving.server import TLS, start_server
from mite_tf.serving.smoke import Subject, smoke
from tests.serving.certificates import write_certificates
from tests.serving.deployment.files import SERVING
from tests.serving.deployment.tampering import (
    between,
    codes_through,
    embeddings_through,
    still_loading,
)


@pytest.fixture(scope="module")
def server(export_folder):
    with start_server(export_folder) as running:
        yield running


@pytest.fixture(scope="module")
def golden(export, tmp_path_factory):
    """A folder with cases and the answers of Keras to them, as an export holds."""
    folder = tmp_path_factory.mktemp("golden")
    write_golden(folder, export.keras.encoders)
    return folder


def outcomes(port, **options):
    subject = Subject(target=f"localhost:{port}", **options)
    try:
        return list(smoke(subject))
    finally:
        subject.close()


def failed(*arguments, **options):
    return {each.name: each.detail for each in outcomes(*arguments, **options) if not each.ok}


def test_a_server_that_works_passes(server, golden):
    found = outcomes(server.port, http=f"localhost:{server.http_port}", export=golden)
    assert [str(each) for each in found if not each.ok] == []
    assert [each.name for each in found] == [
        "status", "health", "metadata", "embeddings", "alone and in a batch", "many at once",
        "refusals", "REST", "metrics", "cases of the export",
    ]  # fmt: skip


def test_other_answers_than_keras_gave_are_noticed(server, golden, tmp_path):
    shutil.copytree(golden, tmp_path / "golden")
    path = tmp_path / "golden/verification/captions.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    cases[3]["embedding"][0] += 0.001
    path.write_text(json.dumps(cases), encoding="utf-8")
    found = failed(server.port, export=tmp_path / "golden")
    assert set(found) == {"cases of the export"}
    assert "differs by 0.001" in found["cases of the export"]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (embeddings_through(lambda rows: rows * 2), {"embeddings": "length"}),
        (embeddings_through(lambda rows: rows * np.nan), {"embeddings": "nan"}),
        (embeddings_through(lambda rows: rows[::-1]), {"alone and in a batch": "differs"}),
        (codes_through(lambda code: grpc.StatusCode.UNKNOWN), {"refusals": "UNKNOWN"}),
        (still_loading, {"status": "AVAILABLE"}),
    ],
)
def test_what_is_wrong_is_named(server, tamper, expected):
    with between(server.port, tamper) as port:
        found = failed(port, wait=0.2)
    for name, part in expected.items():
        assert part in found[name]


def test_answers_that_go_to_a_neighbour_are_noticed(server):
    last = []

    def swap(rows):
        last.append(rows)
        return last[-2] if len(rows) == 1 and len(last) > 20 and len(last[-2]) == 1 else rows

    with between(server.port, embeddings_through(swap)) as port:
        assert "many at once" in failed(port)


def test_nobody_there_is_one_failure():
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("localhost", 0))
        found = outcomes(taken.getsockname()[1], wait=0.3)
    assert [(each.name, each.ok) for each in found] == [("status", False)]


def run(*arguments):
    command = [SERVING / "smoke.sh", *map(str, arguments)]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_the_script_ends_with_1_where_a_check_failed(server):
    assert run(f"localhost:{server.port}").returncode == 0
    # REST is asked of a port that speaks gRPC.
    done = run(f"localhost:{server.port}", "--http", f"localhost:{server.port}")
    assert done.returncode == 1
    assert "failed REST: " in done.stdout
    assert "2 failed" in done.stdout


def test_the_script_names_a_wrong_option():
    done = run("localhost", "--cert", "client.pem")
    assert done.returncode == 2
    assert "key is missing" in done.stderr


def test_mutual_tls(export_folder, tmp_path):
    ca, (cert, key), (mine, mine_key) = write_certificates(tmp_path, "localhost", "client")
    tls = TLS(cert=cert, key=key, client_ca=ca)
    with start_server(export_folder, tls=tls, http_port=None) as running:
        host = f"localhost:{running.port}"
        done = run(host, "--tls", "--ca", ca, "--cert", mine, "--key", mine_key)
        assert done.returncode == 0, done.stdout + done.stderr
        for less in (["--tls", "--ca", ca], []):
            assert run(host, "--wait", 1, *less).returncode == 1
