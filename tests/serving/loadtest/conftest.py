"""Servers of known behaviour, and results of known numbers."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from mite_tf.serving.loadtest.samples import Samples

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


@pytest.fixture
def samples():
    """Makes samples of one row for each request: due, sent, ended, code."""

    def make(*rows):
        due, sent, ended, code = (np.array(column, float) for column in zip(*rows, strict=True))
        ones = np.ones(len(rows), np.int64)
        return Samples(
            due=due,
            sent=sent,
            ended=ended,
            code=code.astype(np.int16),
            bytes_sent=10 * ones,
            bytes_received=100 * ones,
        )

    return make
