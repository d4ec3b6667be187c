"""Servers of known behaviour, and results of known numbers."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from mite_tf.serving.loadtest.result import SAMPLE, summarise

ROOT = Path(__file__).parents[3]


@contextmanager
def fake_server(**options):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.loadtest.fake_server", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    try:
        process.address = f"localhost:{int(process.stdout.readline())}"
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


@pytest.fixture
def serve_fake():
    """Starts a server that behaves as the options of `fake_server.py` say."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(fake_server(**options))


FACTS = {
    "target": "localhost:8500",
    "model": "text",
    "signature": "serving_default",
    "version": 1,
    "clients": 8,
    "processes": 1,
    "rate": None,
    "not_sent": 0,
    "client_busy": 0.3,
    "interrupted": False,
}


def result_of(*requests, seconds=10.0, batch=1, messages=None, **facts):
    """The result of requests, each of which was due, was sent, ended, and got a code."""
    return summarise(
        np.array(list(requests), SAMPLE),
        seconds=seconds,
        batch=batch,
        messages=messages or {},
        **{**FACTS, **facts},
    )


def steady(*, clients, per_second, milliseconds, slowest, **facts):
    """Ten seconds of answers: 98 % after `milliseconds`, the others after `slowest`."""
    number = 10 * per_second
    due = np.arange(number) / per_second
    took = np.where(np.arange(number) % 50 == 0, slowest, milliseconds) / 1e3
    # Those that end after the measurement would not count: begin as much earlier.
    rows = [(d, d, min(d + t, 9.999), 0) for d, t in zip(due, took, strict=True)]
    return result_of(*rows, clients=clients, **facts)
