import numpy as np
import pytest

from mite_tf.data import CaptionedImages
from mite_tf.demo import _trained, in_one_gallery, mixed_line, rsum_difference
from mite_tf.evaluation import Embeddings, mixed_gallery, scorings
from mite_tf.retrieval import HubCorrection
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


def test_one_gallery_holds_half_of_the_scenes_as_pictures_and_marks_the_right_one():
    count = 40
    texts = [[f"scene {row}, {which}" for which in ("shown", "asking")] for row in range(count)]
    table = CaptionedImages.from_lists([f"{row}.png" for row in range(count)], texts)
    rows = np.repeat(np.arange(count), 2)
    images = np.random.default_rng(0).normal(size=(count, 16))
    alike = Embeddings(images, images[rows], rows)
    axis = 9 * np.eye(16)[0]
    apart = Embeddings(images - axis, images[rows] + axis, rows)
    searches, slots = in_one_gallery(table, {"apart": apart, "alike": alike})
    picture, caption = searches
    for both, is_picture in ((picture, True), (caption, False)):
        [right] = both["alike"].correct
        assert both["alike"].query == f"scene {right.split('.')[0]}, asking"
        assert both["apart"].query == both["alike"].query
        assert (right in slots) is not is_picture
        assert both["alike"].hits[0].id == right
    assert all(hit.id in slots for hit in picture["apart"].hits)  # no picture comes to the front
    found = {hit.id in slots for each in searches for hit in each["alike"].hits}
    assert found == {True, False}
    assert set(slots.values()) == {f"scene {row}, shown" for row in range(count)}


def test_the_line_of_mixed_galleries_has_both_models_by_cosine_and_corrected():
    random = np.random.default_rng(0)
    images, rows = random.normal(size=(30, 8)), np.repeat(np.arange(30), 2)
    pairs = Embeddings(images, images[rows] + random.normal(size=(60, 8)), rows)
    bank = HubCorrection(random.normal(size=(20, 8)), random.normal(size=(20, 8)))
    line = mixed_line({"baseline": pairs, "MITE": pairs}, {"baseline": bank, "MITE": bank})
    cosine, hubs = (
        mixed_gallery(scorings(bank)[name].of(*pairs))[0.5] for name in ("cosine", "hubs")
    )
    by_cosine, corrected = (f"{each['mean_r1']:.1f}" for each in (cosine, hubs))
    assert by_cosine != corrected
    assert f"in {by_cosine} (baseline) and {by_cosine} (MITE) % of searches by cosine" in line
    assert f", and {corrected} (baseline) and {corrected} (MITE) with hubs corrected:" in line
    assert line.endswith(f" and {cosine['images_in_ten']:+.1f} (MITE).")
    assert "corrected" not in mixed_line({"MITE": pairs}, {"MITE": None})


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
