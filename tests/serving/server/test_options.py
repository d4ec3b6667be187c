"""Every option with its range; a sentence for what lies outside."""

import json
import math
from pathlib import Path

import pytest

from mite_tf.cli import main
from mite_tf.errors import MiteError
from mite_tf.serving.server import Batching, ServerOptions, read_batching, serve


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "host": ["", None],
        "port": [-1, 65_536, 99_999, True, "8500", 8500.0, None],
        "http_port": [-1, 65_536, 8500],
        "backend": ["tflite", ""],
        "max_message_bytes": [0, -1, 1023, (1 << 30) + 1, 1e6],
        "max_image_pixels": [0, -1, 10**12],
        "poll_seconds": [0, -1, math.nan, math.inf, "1"],
        "grace_seconds": [-1, math.nan, 1e9],
    }.items(),
)
def test_an_option_out_of_range_is_named(name, values):
    for value in values:
        with pytest.raises(MiteError, match=name) as told:
            ServerOptions(export=Path("none"), **{name: value})
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "max_batch_size": [0, -1, 10**12, 1.5],
        "batch_timeout_micros": [-1, 10**12],
        "num_batch_threads": [0, 100_000],
        "max_enqueued_batches": [0],
        "max_execution_batch_size": [-1, 2000],
    }.items(),
)
def test_batching_has_ranges_too(name, values, tmp_path):
    for value in values:
        with pytest.raises(MiteError, match=name):
            Batching(**{name: value})
    (tmp_path / "batching.config").write_text("max_batch_size { value: 0 }")
    with pytest.raises(MiteError, match=r"batching.config: max_batch_size is 0"):
        read_batching(tmp_path / "batching.config")
    with pytest.raises(MiteError, match="no file"):
        read_batching(tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "99999"], "port (--port) is 99999"),
        (["--http-port", "-2"], "http_port (--http-port) is -2"),
        (["--max-message-mib", "0"], "max_message_bytes (--max-message-mib) is 0"),
        (["--max-image-megapixels", "-1"], "max_image_pixels (--max-image-megapixels)"),
        (["--host", "no-such-host.invalid"], "gRPC cannot listen on no-such-host.invalid"),
        (["--host", "192.0.2.1"], "Name another host"),  # kept for documentation: nobody's
    ],
)
def test_the_command_line_says_so(export_folder, words, told, capfd):
    # In this process, where signals and standard error are as before.
    assert main(["serve", str(export_folder), "--port", "0", "--http-port", "0", *words]) == 2
    assert told in capfd.readouterr().err


def test_an_unknown_log_level(export_folder):
    with pytest.raises(MiteError, match="log_level is 'all'"):
        serve(export_folder, log_level="all")


SAYS = """
import logging, os, threading, warnings
from mite_tf.serving.server.logs import logged_to_stderr
with logged_to_stderr("info"):
    logging.getLogger("mite_tf.serving").info("one", extra={"version": 3, "text": "\\udc80"})
    for number in range(50):
        logging.getLogger("asyncio").error("socket %s\\nout of system resource", number)
    warnings.warn("old")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    os.write(2, b"E1126 below Python \\xff\\n")
print("after", file=__import__("sys").stderr)
"""


def test_all_that_a_server_says_is_json_and_no_flood(run_python):
    done = run_python(SAYS)
    *lines, after = done.stderr.splitlines()
    assert after == "after"
    said = [json.loads(line) for line in lines]
    assert said[0] | {"time": ""} == {
        "time": "", "level": "info", "message": "one", "version": 3, "text": "\udc80",
    }  # fmt: skip
    floods = [each for each in said if "out of system" in each["message"]]
    assert len(floods) == 10
    assert any("UserWarning: old" in each["message"] for each in said)
    assert any("ZeroDivisionError" in each.get("exception", "") for each in said)
    assert any("below Python" in each["message"] for each in said)


def test_what_was_held_back_is_counted(monkeypatch):
    import logging

    from mite_tf.serving.server import logs

    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    kept = logs._Repeated()

    def passes(text, level=logging.ERROR):
        record = logging.LogRecord("a", level, "file", 1, text, (), None)
        return kept.filter(record) and getattr(record, "held_back", 0)

    assert [passes(f"connection {n}") for n in range(12)] == [0] * 10 + [False] * 2
    assert passes("something else") == 0
    assert all(passes("request", logging.DEBUG) == 0 for _ in range(50))
    now[0] = 11.0
    assert [passes("connection 12"), passes("connection 13")] == [2, 0]
