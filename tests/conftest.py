"""What tests of all rooms use."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def run_python():
    """Runs a script in a fresh process; gives what it did."""

    def run_script(script, *arguments):
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run_script
