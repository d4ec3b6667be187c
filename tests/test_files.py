"""Files that many write at once, and that killed processes were writing."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mite_tf.errors import MiteError
from mite_tf.files import locked, write_text, written_beside

KILLED = """
import os, signal, sys
from mite_tf.files import locked, written_beside

with {block} as file:
    if file:
        file.write("half")
        file.flush()
    print(flush=True)
    if sys.stdin.read():
        os.kill(os.getpid(), signal.SIGKILL)
"""


def in_block(block):
    """A process that is in a block, until it is told to end, or to be killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(block=block)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.readline()
    return process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_write_leaves_is_used_by_the_next(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    in_block(f"written_beside({str(path)!r})").communicate("kill")
    assert names(tmp_path) == [".a.txt.tmp", "a.txt"]
    assert path.read_text() == "before"
    write_text(path, "new")
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "new"


def test_who_writes_the_same_file_waits(tmp_path):
    path = tmp_path / "a.txt"
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: write_text(path, f"{number}" * 9999), range(10, 99)))
    text = path.read_text()
    assert text == text[:2] * 9999
    assert names(tmp_path) == ["a.txt"]
    other = in_block(f"written_beside({str(path)!r})")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(write_text, path, "later")
        assert not waiting.done()
        other.communicate("")
        waiting.result()
    assert path.read_text() == "later"


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(ZeroDivisionError), written_beside(path) as file:
        file.write(f"{1 / 0}")
    assert (names(tmp_path), path.read_text()) == (["a.txt"], "before")


def test_a_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"

    def refuse():
        raise MiteError("taken")

    other = in_block(f"locked({str(path)!r})")
    with pytest.raises(MiteError, match="taken"), locked(path, busy=refuse):
        pytest.fail("two hold the lock")
    other.communicate("kill")
    with locked(path, busy=refuse):
        assert path.exists()
    assert not path.exists()
    other = in_block(f"locked({str(path)!r})")
    with locked(path, busy=lambda: other.communicate("")):  # who waits gets it
        assert path.exists()
