"""Twenty kills at random moments, and still the weights of a training that was never stopped."""

import random
import signal
import subprocess
import sys
import time

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
