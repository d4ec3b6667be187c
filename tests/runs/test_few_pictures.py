"""Trainings on a handful of pictures: no step is lost, and what they cannot show is said."""

import numpy as np
import pytest

from mite_tf.cli import main
from mite_tf.data import CaptionedImages
from mite_tf.errors import MiteError
from mite_tf.runs import evaluate, train
from tests.runs.test_callbacks import Stop, interrupt
from tests.runs.test_train import assert_same_history, assert_same_state


def some(table, train, dev):
    """The first pictures of each split."""
    rows = [*table.split("train").rows[:train], *table.split("dev").rows[:dev]]
    return CaptionedImages(tuple(rows), root=table.root)


@pytest.fixture(scope="module")
def short(table, make_config, tmp_path_factory):
    """Makes configurations of two stages, an epoch each, on features that cost no computing."""
    path = tmp_path_factory.mktemp("features") / "features.npz"
    random = np.random.default_rng(0)
    np.savez(path, ids=table.image_ids, features=random.normal(size=(60, 3)).astype("float32"))

    def make(**more):
        epochs = {stage.name: 0 for stage in make_config().stages} | {"align": 1, "adversarial": 1}
        return make_config(
            **{f"stages.{name}.epochs": number for name, number in epochs.items()}
            | {f"stages.{name}.backbone_share": 0 for name in epochs}
            | {"backbone.name": "features", "backbone.features": str(path)}
            | {"training.select_by": "last"}
            | more
        )

    return make


@pytest.fixture(scope="module")
def small(table, tmp_path_factory, short):
    """A run on six pictures, with a single one in dev, and what it printed."""
    config = short()
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = []
        monkeypatch.setattr(
            "mite_tf.progress.CONSOLE.print", lambda text, **_: lines.append(str(text))
        )
        folder = tmp_path_factory.mktemp("small") / "run"
        run = train(some(table, 6, 1), folder, config=config)
    return run, lines


def text_weights(run, stage):
    return run.encoders(stage).text_encoder.get_weights()


def test_a_stage_of_one_step_trains_what_is_kept(small):
    run, _ = small
    pairs = zip(text_weights(run, "align"), text_weights(run, "adversarial"), strict=True)
    assert any(not np.array_equal(before, after) for before, after in pairs)


def test_steps_and_chance_are_told(small):
    run, lines = small
    [align] = [line for line in lines if line.startswith("Stage align")]
    assert align.startswith("Stage align has 2 steps in 1 epoch; with fewer than 100 it learns")
    assert "lower stages.align.batch_size, 16 images now, or raise stages.align.epochs" in align
    [chance] = [line for line in lines if line.startswith("Chance on dev (1 image;")]
    assert "RSUM 600.0. With so few images any order scores 100 at image → text R@1," in chance
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 2
    assert all("(chance 600.0)" in line for line in epochs)
    assert not any("best" in line for line in epochs)  # the last is kept
    assert "RSUM cannot tell a model from chance here" in lines[-1]
    assert "RSUM cannot tell a model from chance here" in run.warnings_file.read_text()
    assert [row["chance_rsum"] for row in run.history()] == [600.0] * 2
    assert [row["chance_text_to_image_r1"] for row in run.history()] == [100.0] * 2


@pytest.mark.slow
def test_one_dev_picture_also_resumes(small, table, tmp_path):
    run, _ = small
    stop = Stop(interrupt, epoch=1, batch=0)
    with pytest.raises(KeyboardInterrupt):
        train(some(table, 6, 1), tmp_path / "run", config=run.config, callbacks=[stop], quiet=True)
    resumed = train(some(table, 6, 1), tmp_path / "run", resume=True, quiet=True)
    assert_same_state(resumed, run)
    assert_same_history(resumed, run)
    assert resumed.warnings_file.read_text() == run.warnings_file.read_text()


@pytest.mark.parametrize(("images", "left_out"), [(1, 3), (3, 1)])
def test_an_evaluation_of_few_pictures_has_recall_and_reasons(
    small, table, tmp_path, images, left_out
):
    run, _ = small
    page = tmp_path / "page.html"
    found = evaluate(run, some(table, 0, images), html=page, quiet=True)
    assert found.images == images
    assert len(found.left_out) == left_out
    text = page.read_text()
    assert all(reason in text for reason in found.left_out.values())
    assert "cannot tell a model from chance" in text


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 1), "train has 1 image with captions, and training needs 2 to tell apart"),
        ((4, 0), "no split 'dev'.*Training needs train and dev"),
        ((0, 4), "no split 'train'.*Training needs train and dev"),
    ],
)
def test_too_few_are_refused_before_any_is_opened(table, tmp_path, make_config, counts, message):
    elsewhere = CaptionedImages(some(table, *counts).rows, root=tmp_path / "nowhere")
    with pytest.raises(MiteError, match=message):
        train(elsewhere, tmp_path / "run", config=make_config(), quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_training_that_never_began_leaves_no_folder(table, tmp_path, short):
    def fail(logs=None):
        raise MiteError("not today")

    failing = Stop(interrupt, epoch=9, batch=9)
    failing.on_train_begin = fail
    few = some(table, 4, 2)
    with pytest.raises(MiteError, match="not today"):
        train(few, tmp_path / "run", config=short(), callbacks=[failing], quiet=True)
    assert not list(tmp_path.iterdir())
    one = short(**{"stages.adversarial.epochs": 0})
    assert train(few, tmp_path / "run", config=one, quiet=True).finished


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (dict.fromkeys(("align", "finetune", "classify", "adversarial"), 0),
         r"All stages \(align, .*\) have 0 epochs.*such as stages.align.epochs=10"),
        ({}, "no stages"),
    ],
)  # fmt: skip
def test_nothing_to_train_is_one_sentence(table, captions_file, tmp_path, short, stages, message):
    config = short(**{f"stages.{name}.epochs": n for name, n in stages.items()})
    text = config.to_toml() if stages else "stages = []"
    (tmp_path / "own.toml").write_text(text)
    for verb, out in (("train", "--run"), ("study", "--out")):
        arguments = [str(captions_file), "--root", str(table.root), out, str(tmp_path / "out")]
        assert main([verb, *arguments, "--config", str(tmp_path / "own.toml")]) == 2
        assert not (tmp_path / "out").exists()
    with pytest.raises(MiteError, match=message):
        train(table, tmp_path / "run", config=tmp_path / "own.toml", quiet=True)
