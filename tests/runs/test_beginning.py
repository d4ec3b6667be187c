import pytest

from mite_tf.data import CaptionedImages
from mite_tf.errors import MiteError
from mite_tf.runs import Run, train
from mite_tf.runs.beginning import check_beginning


@pytest.fixture(scope="module")
def first(table, make_config, tmp_path_factory):
    """A run through `align` alone."""
    rest = {f"stages.{stage.name}.epochs": 0 for stage in make_config().stages[1:]}
    config = make_config(**rest | {"stages.align.epochs": 1})
    return train(table, tmp_path_factory.mktemp("first") / "run", config=config, quiet=True)


@pytest.mark.parametrize(
    "override",
    [{"stages.align.learning_rate": 1e-3}, {"image_head.hidden_size": 9}, {"training.seed": 1}],
)
def test_another_training_cannot_begin_from_a_run(first, table, make_config, tmp_path, override):
    config = make_config(**{"stages.align.epochs": 1} | override)
    with pytest.raises(MiteError, match=r"its stages, .* are not the first ones"):
        train(table, tmp_path / "run", config=config, beginning=first, quiet=True)
    assert not (tmp_path / "run").exists()


def test_other_data_or_an_unfinished_run_is_no_beginning(first, table, make_config, tmp_path):
    config = make_config(**{"stages.align.epochs": 1})
    fewer = CaptionedImages(table.rows[3:], root=table.root)
    with pytest.raises(MiteError, match="was trained on other data"):
        train(fewer, tmp_path / "run", config=config, beginning=first, quiet=True)
    with pytest.raises(MiteError, match="is an empty folder, no run folder"):
        train(table, tmp_path / "run", config=config, beginning=tmp_path, quiet=True)
    unfinished = Run(tmp_path / "unfinished")
    unfinished.start(first.config, [], first.info)
    assert first.finished
    assert not unfinished.finished
    with pytest.raises(MiteError, match="is not finished"):
        train(table, tmp_path / "run", config=config, beginning=unfinished, quiet=True)


def test_a_text_backbone_that_rested_has_no_state_to_learn_from(first):
    share = {"stages.finetune.epochs": 1, "stages.finetune.text_backbone_share": 0.5}
    with pytest.raises(MiteError, match="its text backbone rests, and that of this training"):
        check_beginning(first.config.with_overrides(share), first.info["data"], first)


def test_a_run_starts_with_the_beginnings_best_encoders_and_history(first, tmp_path):
    run = Run(tmp_path / "run")
    run.start(first.config, [], first.info, beginning=first)
    assert run.history() == first.history()
    assert list(run.best_folders()) == ["align"]
    assert run.beginning.read_bytes() == first.state.read_bytes()
    assert not run.state.exists()
