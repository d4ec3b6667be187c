"""Embedding that is stopped, killed or loses a process: nothing is lost, nothing made twice."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mite_tf.cli import main
from mite_tf.collection import embed_collection
from mite_tf.errors import MiteError
from mite_tf.retrieval.embedding_files import EmbeddingFolder
from tests.collection.conftest import contents_of, picture

MITE = [sys.executable, "-m", "mite_tf.cli", "embed"]


@pytest.fixture
def command(export_with_bank, tmp_path):
    """A command of a second or two, and its result in `whole`."""
    (tmp_path / "photos").mkdir()
    for number in range(24):
        (tmp_path / "photos" / f"{number:02}.png").write_bytes(picture(number))
    (tmp_path / "photos" / "bad.png").touch()
    words = [export_with_bank, "--images", tmp_path / "photos", "--shard-size", "2", "--out"]
    whole = tmp_path / "whole"
    embed_collection(export_with_bank, whole, images=tmp_path / "photos", shard_size=2, processes=1)
    return [*MITE, *map(str, words), str(tmp_path / "out")], whole, tmp_path / "out"


def begun(words, wait):
    """Starts a command, and waits for a moment in its life."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not wait():
        time.sleep(0.002)
    return process


def parts(out):
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}


@pytest.mark.parametrize(("how", "processes"), [(signal.SIGKILL, "2"), (signal.SIGTERM, "1")])
def test_what_was_stopped_goes_on_and_repeats_nothing(command, how, processes):
    words, whole, out = command
    process = begun([*words, "--processes", processes], lambda: len(parts(out)) >= 2)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    if how == signal.SIGTERM:
        assert process.returncode == 130
        assert told == (
            "mite: stopped. What was embedded is whole. Go on with the same command, without "
            "--fresh.\n"
        )
    before = parts(out)
    assert 2 <= len(before) < 13
    with pytest.raises(MiteError, match="not complete"):
        EmbeddingFolder.read(out)
    assert main([*words[3:], "--processes", "1"]) == 0
    assert contents_of(out) == contents_of(whole)
    after = parts(out)
    # A process that lives on for a moment may write the file that it had begun.
    assert sum(after[name] != time for name, time in before.items()) == 0


@pytest.mark.slow
def test_twenty_kills_lose_and_repeat_nothing(command):
    words, whole, out = command
    chance = random.Random(0)
    kills = 0
    while kills < 20:
        count = len(parts(out)) if kills % 3 else None  # else anywhere, also in the plan
        until = time.monotonic() + chance.uniform(0.3, 1.6)
        process = begun(words, lambda n=count, t=until: time.monotonic() > t or (
            n is not None and len(parts(out)) > n
        ))  # fmt: skip
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        if (out / "embeddings.json").exists():
            assert contents_of(out) == contents_of(whole)
            shutil.rmtree(out)
    assert main(words[3:]) == 0
    assert contents_of(out) == contents_of(whole)
    ids = [each for rows in EmbeddingFolder.read(out).rows() for each in rows.ids]
    assert len(ids) == len(set(ids)) == 24


def test_a_process_that_dies_is_told(command, monkeypatch):
    words, _, _ = command
    monkeypatch.setattr("mite_tf.collection.local._CHILD", "import os; os.abort()")
    with pytest.raises(MiteError, match="A process that embeds has died"):
        embed_collection(
            words[4], words[-1], images=words[6], shard_size=2, processes=2, quiet=True
        )
