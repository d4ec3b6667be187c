"""`mite index`, killed again and again: nothing is lost, nothing is there twice."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mite_tf.retrieval.collection_index import open_index
from tests.retrieval.collections import make_folder, make_rows

KILLS = 20


def mite(*words, after=None):
    """Runs a command, and kills it after so many seconds; returns whether it has done its work."""
    command = [sys.executable, "-m", "mite_tf.cli", *map(str, words)]
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, told = started.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        started.kill()
        _, told = started.communicate()
    done = started.returncode == 0 or " already. Add to it " in told  # killed as it ended
    assert done or started.returncode == -signal.SIGKILL, told
    return done


def seconds(*words):
    start = time.perf_counter()
    assert mite(*words)
    return time.perf_counter() - start


def killed_until_done(whole, *words):
    """Kills a command at twenty moments of a life of so many seconds, and then lets it end."""
    for number in range(KILLS):
        if mite(*words, after=whole * (number + 1) / KILLS):
            return number
    assert mite(*words)
    return KILLS


@pytest.mark.slow
@pytest.mark.parametrize("place", ["index", "photos.db"])
def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path, place):
    parts = [make_rows(3000, seed=at, first=3000 * at, dimension=64) for at in range(4)]
    make_folder(tmp_path / "made", *parts)
    more = make_rows(3000, seed=9, first=11_000, dimension=64)
    make_folder(tmp_path / "more", more)
    how = ["--to", "milvus", "--kind", "flat", "--uri"] if place.endswith(".db") else ["--out"]
    # Of each the second time, for the first reads much from the disk.
    wholes = [tmp_path / f"whole{number}-{place}" for number in range(2)]
    whole = min(seconds("index", tmp_path / "made", *how, each) for each in wholes)
    assert killed_until_done(whole, "index", tmp_path / "made", *how, tmp_path / place) > 5
    whole = min(seconds("index", each, "--add", tmp_path / "more") for each in wholes)
    assert killed_until_done(whole, "index", tmp_path / place, "--add", tmp_path / "more") > 5
    expected = {
        name: vector
        for rows in (*parts, more)
        for name, vector in zip(rows.ids, rows.vectors, strict=True)
    }
    index = open_index(tmp_path / place)
    assert len(index) == len(expected) == 14_000
    read = list(index.rows())
    ids = [name for rows in read for name in rows.ids]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(expected)
    vectors = np.concatenate([rows.vectors for rows in read])
    np.testing.assert_allclose(vectors, [expected[name] for name in ids], atol=1e-6)
