"""What tests of all rooms use."""

import gc
import shutil
import subprocess
import sys

import pytest

LONGEST_FIRST = ("notebooks", "runs", "export", "models", "training", "studies")


def pytest_collection_modifyitems(items):
    """Puts long folders first, so that the processes end at about the same time."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))


def pytest_collection_finish(session):
    """Spares the garbage collector the half a million objects that imports have left."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives a file to one process, and all of `tests/export`, whose export takes long to make."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            together = nodeid.startswith("tests/export/")
            return "tests/export" if together else super()._split_scope(nodeid)

    return Scheduling(config, log)


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
