import numpy as np
import pytest

from mite_tf.demo import _trained, rsum_difference
from mite_tf.evaluation import Embeddings
from mite_tf.runs import load_config
from mite_tf.scenes import write_scenes


def test_a_difference_within_noise_is_not_called_better():
    random = np.random.default_rng(0)
    images = random.normal(size=(60, 8))
    near, nearer, nearest = (
        Embeddings(images, images + random.normal(scale=scale, size=(60, 8)), np.arange(60))
        for scale in (1.0, 1.0, 0.2)
    )
    told = rsum_difference({"baseline": near, "MITE": near})
    assert told.startswith("MITE's rsum minus baseline's is +0.0 (95 % interval over other such")
    assert told.endswith("+0.0 to +0.0): that is within noise, neither retrieves better.")
    assert "within noise" in rsum_difference({"baseline": near, "MITE": nearer})
    told = rsum_difference({"baseline": near, "MITE": nearest})
    assert "within noise" not in told
    assert "Each was trained once" in told


@pytest.mark.slow
def test_what_both_share_is_trained_once_and_a_second_call_trains_nothing(tmp_path):
    small = {f"stages.{name}.epochs": 1 for name in ("align", "classify", "adversarial")}
    small |= {"backbone.image_size": 32, "backbone.width": 8}
    settings = load_config("scenes", small)
    scenes = write_scenes(tmp_path / "scenes", train=64, dev=8, test=4, size=32, progress=False)
    runs = _trained(scenes, tmp_path, settings, quiet=True)
    rows = {name: run.history() for name, run in runs.items()}
    assert [row["stage"] for row in rows["MITE"]] == ["align", "classify", "adversarial"]
    assert rows["MITE"][0] == rows["baseline"][0]
    assert rows["MITE"][2] != rows["baseline"][2]
    states = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoint/state.npz")}
    assert len(states) == 3
    _trained(scenes, tmp_path, settings, quiet=True)
    assert states == {path: path.stat().st_mtime_ns for path in states}
