"""What tests of all rooms use."""

import shutil
import subprocess
import sys

import pytest

# Of fixtures that take long to make; the tests of all files that use one run in one process.
SHARED = ("export", "exported")
LONGEST_FIRST = ("notebooks", "runs", "export", "models", "training", "studies")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Puts long folders first, so that processes end at about the same time, and groups tests.

    `--dist loadgroup` gives each group to one process: a file, or all that share a fixture.
    """
    groups = {}
    for item in items:
        used = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
        groups[item.path] = (used or [groups.get(item.path, str(item.path))])[0]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(
        key=lambda item: (
            groups[item.path] not in SHARED,
            rank.get(item.path.parent.name, len(rank)),
        )
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


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """Version 1 of a bag-of-words text encoder and a tiny CNN of 32 pixels; never changed."""
    from tests.serving.exports import Export, Keras, make_encoders, write_export  # TensorFlow

    encoders = make_encoders(word_size=16, hidden_size=16)
    path = tmp_path_factory.mktemp("serving") / "export"
    write_export(path, encoders)
    return Export(path, Keras(encoders))


@pytest.fixture(scope="session")
def export_folder(export):
    """Folder of that export."""
    return export.path


@pytest.fixture(scope="session")
def export_with_bank(export, tmp_path_factory):
    """Folder of that export, with the hash of its space and a bank of hub correction."""
    from tests.serving.exports import add_bank

    path = tmp_path_factory.mktemp("with bank") / "export"
    shutil.copytree(export.path, path)
    add_bank(path)
    return path
