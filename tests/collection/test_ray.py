"""Ray gives the same files as the engine of one machine, also when its workers are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mite_tf.collection import embed_collection
from mite_tf.errors import MiteError
from tests.collection.conftest import contents_of, picture


@pytest.mark.slow
def test_ray_writes_the_same_bytes_though_a_worker_is_killed(export_with_bank, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(240):
        (photos / f"{number:03}.png").write_bytes(picture(number))
    (photos / "bad.png").touch()
    how = {"images": photos, "shard_size": 4}
    embed_collection(export_with_bank, tmp_path / "local", **how)
    words = [export_with_bank, "--images", photos, "--shard-size", "4", "--engine", "ray"]
    words = [sys.executable, "-W", "ignore", "-m", "mite_tf.cli", "embed", *map(str, words)]
    out = tmp_path / "ray"
    pipe, killed = subprocess.PIPE, 0
    with subprocess.Popen([*words, "--out", out], stdout=pipe, stderr=pipe, text=True) as process:
        while process.poll() is None:
            if not killed and len(list(out.glob("part-*"))) > 3:
                for worker in workers(process.pid):
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
            time.sleep(0.02)
        assert killed
        assert process.returncode == 0, process.stderr.read()
        assert process.stdout.read().startswith(f"{out}: 240 pictures, 0 texts, 1 skipped")
    assert contents_of(out) == contents_of(tmp_path / "local")


def workers(root):
    """The processes below one that run tasks of Ray."""
    below, found = {root}, []
    entries = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    for entry in entries:
        try:
            parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            title = Path(f"/proc/{entry}/cmdline").read_text()
        except OSError:
            continue
        if parent in below:
            below.add(entry)
            if title.startswith("ray::embed_shard"):
                found.append(entry)
    return found


def test_a_cluster_that_is_not_there_is_told(export_with_bank, photos, tmp_path):
    with pytest.raises(MiteError, match=r"127.0.0.1:1: no cluster of Ray answers: Connection"):
        embed_collection(
            export_with_bank, tmp_path / "out", images=photos, engine="ray",
            ray_address="127.0.0.1:1",
        )  # fmt: skip
