"""The soak, for half a minute; `python -m tests.benchmarks.serving_soak` for longer."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--attackers"]])
@pytest.mark.parametrize("backend", ["onnx", "savedmodel"])
def test_half_a_minute(backend, more):
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.serving_soak", "--minutes", "0.5",
         "--switch-seconds", "6", "--backend", backend, *more],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
