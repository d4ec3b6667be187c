"""`mite loadtest`, as it is typed."""

import json
import socket

import pytest

from mite_tf.cli import main
from mite_tf.serving.server import read_batching


def run(*words):
    return main(["loadtest", *words, "--warmup", "0"])


def test_one_load_test_with_all_it_writes(serve_fake, tmp_path, capsys):
    numbers, picture = tmp_path / "load.json", tmp_path / "load.png"
    words = ("--clients", "2", "--seconds", "0.5", "--json", str(numbers), "--plot", str(picture))
    assert run(serve_fake(seconds=0.02).address, *words) == 0
    written = json.loads(numbers.read_text())
    assert written["clients"] == 2
    assert written["answered"] == written["requests"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert f"{written['requests']:,} answered" in printed.out
    assert printed.err.splitlines() == [f"Written: {numbers}", f"Written: {picture}"]


def test_a_server_that_is_silent_is_told_while_it_is_waited_for(monkeypatch, caplog, capsys):
    monkeypatch.setattr("mite_tf.serving.client.protocol.SILENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        assert run(place, "--deadline", "0.4") == 2
    assert f"mite: {place}: DEADLINE_EXCEEDED: " in (told := capsys.readouterr().err)
    assert "Is a server running there" in told
    [line] = [each.getMessage() for each in caplog.records]
    assert line.startswith(f"{place}: no answer for 0.1 s; waiting up to 0.4 s. Is a server")


@pytest.mark.parametrize(("most", "status"), [("0.1", 1), ("0.9", 0)])
def test_status_tells_whether_too_much_failed(serve_fake, most, status, capsys):
    server = serve_fake(seconds=0.02, refuse=2)
    words = ("--clients", "1", "--seconds", "0.5", "--max-error-rate", most)
    assert run(server.address, *words) == status
    assert "RESOURCE_EXHAUSTED: The queue is full." in capsys.readouterr().out


def test_sweep_writes_batching_parameters(serve_fake, tmp_path, capsys):
    file = tmp_path / "batching.config"
    words = ("--sweep", "1,3", "--seconds", "0.4", "--server-cores", "3", "--batching", str(file))
    assert run(serve_fake(seconds=0.02).address, *words) == 0
    assert read_batching(file).num_batch_threads == 3
    assert "max_batch_size { value: 32 }" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("localhost:1", "--sweep", "1", "--rate", "5"), "a rate is for one load test"),
        (("localhost:1", "--token-file", "missing"), "missing: cannot be read"),
        (("localhost:1", "--cert", "a.pem"), "key is missing"),
    ],
)
def test_misuse_is_explained(words, told, capsys):
    assert run(*words) == 2
    assert told in capsys.readouterr().err
