"""Kills at random moments and at every rename, after which nothing is lost."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mite_tf.encoders import Encoders
from mite_tf.runs import Run, train

KILLS = 20


@pytest.mark.slow
def test_twenty_kills_change_nothing(table, captions_file, tmp_path, make_config):
    longer = {
        "stages.align.epochs": 100,
        "stages.align.inputs": "features",  # so that caching is killed too
        "stages.align.backbone_share": 0,
        "stages.classify.epochs": 20,
        "stages.adversarial.epochs": 100,
        "stages.finetune.epochs": 60,
        "training.save_minutes": 0,  # a state after every batch: many writes to kill
        "training.views": 6,
    }
    (tmp_path / "config.toml").write_text(make_config(**longer).to_toml())
    arguments = ["train", captions_file, "--root", table.root]
    command = [sys.executable, "-m", "mite_tf.cli", *map(str, arguments), "--resume"]
    command += ["--config", str(tmp_path / "config.toml"), "--run"]

    run, moments, killed = Run(tmp_path / "killed"), random.Random(0), 0
    started = None
    while killed < KILLS:
        process = subprocess.Popen(
            [*command, str(run.path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        begun = time.monotonic()
        # Importing takes most of the time; the moments to hit come after it.
        started = started or _seconds_until(run.path / "vocabulary.txt", process, begun)
        time.sleep(max(0, started + moments.uniform(0, 5) - (time.monotonic() - begun)))
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate()
        assert b"Traceback" not in error, error.decode()
        if process.returncode == 0:
            break
        killed += 1
        for folder in run.best_folders().values() if run.path.exists() else ():
            Encoders.load(folder)
    assert killed == KILLS, f"the training ended after {killed} kills"

    done = subprocess.run([*command, str(run.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config = tmp_path / "config.toml"
    whole = train(captions_file, tmp_path / "whole", root=table.root, config=config, quiet=True)
    with np.load(run.state) as ours, np.load(whole.state) as theirs:
        names = [name for name in theirs.files if name != "values"]
        assert all(np.array_equal(ours[name], theirs[name]) for name in names)
    assert [row["rsum"] for row in run.history()] == [row["rsum"] for row in whole.history()]
    assert not list(run.path.rglob("unfinished-*"))


def _seconds_until(path, process, begun):
    while not path.exists() and process.poll() is None:
        time.sleep(0.1)
    return time.monotonic() - begun


class Killed(BaseException):
    pass


@pytest.mark.parametrize("epochs", [(0, 1), (1, 1), (3, 1)])
def test_a_kill_at_any_rename_leaves_encoders_that_are_whole(tmp_path, monkeypatch, epochs):
    """Those of a later epoch, of the same one again, and of an earlier one after an old state."""

    def save(folder):
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            (folder / name).write_text("whole")

    def keep(run, left):
        """Keeps encoders until `left` steps of it are done; returns how many were left."""

        def dying(original, *, halfway=None):
            def step(path, *given, **named):
                nonlocal left
                if left == 0:
                    if halfway and Path(path).exists():
                        halfway(Path(path))
                    raise Killed
                left -= 1
                return original(path, *given, **named)

            return step

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying(Path.rename))
            patch.setattr(
                shutil, "rmtree", dying(shutil.rmtree, halfway=lambda path: (path / "a").unlink())
            )
            run.keep_best(epochs[1], "align", save)
        return left

    for steps in range(100):
        run = Run(tmp_path / f"run{steps}")
        run.path.mkdir()
        (run.path / "run.json").touch()
        run.keep_best(epochs[0], "align", save)
        try:
            over = keep(run, steps) > 0
        except Killed:
            over = False
        assert sorted(path.name for path in run.best("align").iterdir()) == ["a", "b"], steps
        run.remove_leftovers()
        run.keep_best(epochs[1], "align", save)
        assert [path.name for path in (run.path / "best").iterdir()] == ["0002-align"], steps
        if over:
            break
    assert over
    assert steps > 2
