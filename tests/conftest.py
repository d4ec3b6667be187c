"""What tests of all rooms use."""

import subprocess
import sys

import pytest

LONGEST_FIRST = ("notebooks", "runs", "export", "models", "training", "studies")


def pytest_collection_modifyitems(items):
    """Puts long folders first, so that the processes end at about the same time."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))


@pytest.fixture(scope="session")
def run_python():
    """Runs a script in a fresh process; gives what it did."""

    def run_script(script, *arguments):
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run_script
