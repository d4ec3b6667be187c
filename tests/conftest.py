"""What tests of all rooms use."""

import subprocess
import sys

import pytest

LONGEST_FIRST = ("notebooks", "runs", "export", "models", "training", "studies")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Gives each folder to one process, so that its fixtures are built once; long ones first."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))
    for item in items:
        item.add_marker(
            pytest.mark.xdist_group(item.path.parent.relative_to(item.config.rootpath).as_posix())
        )


@pytest.fixture(scope="session")
def run_python():
    """Runs a script in a fresh process; gives what it did."""

    def run_script(script, *arguments):
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run_script
