import numpy as np
import pytest
from PIL import Image

from mite_tf.data.feature_cache import FeatureCache
from mite_tf.errors import MiteError
from mite_tf.runs import train
from mite_tf.runs.data import unpaired_data
from mite_tf.text import read_vocabulary
from tests.runs.resuming import CtrlC, assert_same_state


@pytest.fixture(scope="module")
def more(table, tmp_path_factory):
    """Twenty pictures and captions besides, one of each in dev too."""
    folder = tmp_path_factory.mktemp("more") / "images"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(20):
        pixels = random.integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    dev = table.split("dev")
    (folder / "of_dev.png").write_bytes(dev.paths[0].read_bytes())
    captions = folder.parent / "captions.txt"
    lines = [f"violet stripes and dots {number}" for number in range(20)]
    captions.write_text("\n".join([*lines, dev.captions[0].upper()]))
    return {"unpaired_images": folder, "unpaired_captions": captions}


@pytest.fixture(scope="module")
def config(make_config):
    short = {"align": 1, "finetune": 0, "classify": 0, "adversarial": 2}
    epochs = {f"stages.{name}.epochs": number for name, number in short.items()}
    return make_config(**epochs, **{"tokenizer.vocabulary_size": 300})


@pytest.fixture(scope="module")
def run_and_cached(table, more, config, tmp_path_factory):
    """A run, and the folders of the images whose features it asked for, in turn."""
    asked = []
    original = FeatureCache.features

    def features(self, paths, **options):
        asked.append({path.parent for path in paths})
        return original(self, paths, **options)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(FeatureCache, "features", features)
        folder = tmp_path_factory.mktemp("run") / "run"
        return train(table, folder, config=config, quiet=True, **more), asked


@pytest.fixture
def run(run_and_cached):
    return run_and_cached[0]


def test_a_run_tells_what_was_unpaired_and_has_its_words_alone(run, more):
    told = run.info["data"]["unpaired"]
    assert (told["images"], told["captions"]) == (20, 20)
    assert told["left_out"] == {"images": 1, "captions": 1}
    assert told["sources"] == {
        "images": str(more["unpaired_images"]), "captions": str(more["unpaired_captions"]),
    }  # fmt: skip
    assert {"violet", "stripes", "square"} <= set(read_vocabulary(run.vocabulary))


def test_features_of_unpaired_images_are_cached_for_stages_with_an_adversary(
    run_and_cached, table, more
):
    _, asked = run_and_cached
    assert [each for each in asked if each != {table.root}] == [{more["unpaired_images"]}]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_bit_with_what_it_had(run, table, more, config, tmp_path):
    again = {"resume": True, "quiet": True, "feature_cache": run.path / "features"}
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path / "run", config=config, callbacks=[CtrlC(2, 1)], **again, **more)
    resumed = train(table, tmp_path / "run", **again)  # without naming it anew
    assert_same_state(resumed, run)
    for row, other in zip(resumed.history(), run.history(), strict=True):
        assert row["matching_loss"] == other["matching_loss"]


def test_other_unpaired_data_is_refused(run, table, more):
    told = r"other unpaired data \(20 images and 20 captions, now 0 images and 20 captions\)"
    with pytest.raises(MiteError, match=told):
        train(table, run.path, resume=True, quiet=True,
              unpaired_captions=more["unpaired_captions"])  # fmt: skip


def test_without_an_adversary_a_warning_says_that_images_change_nothing(
    table, more, config, capsys
):
    captions = more["unpaired_captions"]
    unpaired_data(None, captions, table, config, False, False)
    assert "Warning" not in capsys.readouterr().err
    unpaired_data(None, captions, table, config.without_adversary(), False, False)
    assert "Warning: no stage has an adversary" in capsys.readouterr().err
