import pytest

from mite_tf.errors import MiteError
from mite_tf.runs import config_names, load_config, parse_overrides


@pytest.mark.parametrize("name", ["coco", "flickr30k", "flickr8k", "scenes"])
def test_packaged_configurations_have_the_same_stages_and_survive_a_round_trip(tmp_path, name):
    config = load_config(name)
    stages = [stage.name for stage in config.stages]
    assert stages == ["align", "finetune", "classify", "adversarial"]
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config
    assert name in config_names()


def test_overrides_reach_tables_and_named_stages():
    config = load_config(
        "scenes",
        parse_overrides(
            [
                "model.backbone=my file.keras",
                "model.embedding_size=32",
                "stages.align.epochs=7",
                "stages.adversarial.adversarial_weight=[[0, 0.0], [1, 0.5]]",
                "loss.adversarial={name = 'mmd'}",
                "stages.finetune.flip=true",
            ]
        ),
    )
    assert config.model.backbone == "my file.keras"
    assert config.model.embedding_size == 32
    assert config.stages[0].epochs == 7
    assert config.stages[3].value_at("adversarial_weight", 0.5) == 0.25
    assert config.loss.adversarial == {"name": "mmd"}
    assert config.stages[1].flip is True


def test_the_baseline_has_no_adversary_and_is_the_same_otherwise():
    config = load_config("scenes")
    baseline = config.without_adversary()
    assert all(stage.adversarial_weight == 0 for stage in baseline.stages)
    assert not any(stage.discriminator_steps for stage in baseline.stages)
    assert any(stage.is_adversarial for stage in config.stages)
    assert baseline.model == config.model
    assert [s.epochs for s in baseline.stages] == [s.epochs for s in config.stages]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"model.embeding_size": "1"}, r"model\.embeding_size: no such key"),
        ({"model.embedding_size": "big"}, r"model\.embedding_size: .*integer.*given: 'big'"),
        ({"stages.align.epochs": "-1"}, r"stages\.align\.epochs: .*greater than or equal to 0"),
        ({"stages.warmup.epochs": "1"}, r"no stage is called 'warmup'; there are align, "),
        ({"model.backbone.x": "1"}, r"'backbone' is a value"),
        ({"stages.align": "1"}, r"name a key of the stage"),
    ],
)
def test_wrong_keys_and_values_are_named(override, message):
    with pytest.raises(MiteError, match=message):
        load_config("scenes", override)


def test_unknown_configurations_and_broken_files_are_named(tmp_path):
    with pytest.raises(MiteError, match=r"No configuration 'flickr9k'.*flickr8k"):
        load_config("flickr9k")
    path = tmp_path / "mine.toml"
    with pytest.raises(MiteError, match=r"mine\.toml"):
        load_config(path)
    path.write_text("a = [")
    with pytest.raises(MiteError, match=r"mine\.toml: not valid TOML"):
        load_config(path)
    path.write_text("")
    with pytest.raises(MiteError, match="stages: "):
        load_config(path)
    with pytest.raises(MiteError, match="KEY=VALUE"):
        parse_overrides(["epochs 3"])
