import pytest

from mite_tf.errors import MiteError
from mite_tf.runs import Config, build_model, config_names, load_config, parse_overrides
from mite_tf.runs.folder import RunFolder


@pytest.mark.parametrize("name", config_names())
def test_packaged_configurations_have_the_same_stages_and_survive_a_round_trip(tmp_path, name):
    config = load_config(name)
    stages = [stage.name for stage in config.stages]
    assert stages == ["align", "finetune", "classify", "adversarial"]
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config


def test_a_configuration_may_say_how_it_differs_from_another(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'base = "pretrained"\nloss = { name = "infonce" }\n[text_backbone]\nname = "minilm"\n'
        '[[stages]]\nname = "finetune"\nepochs = 1\n'
    )
    config, base = load_config(path), load_config("flickr8k")
    assert config.text_backbone.name == "minilm"
    assert config.text_encoder["name"] == "hub"  # of pretrained
    assert config.text_encoder["hidden_size"] == base.text_encoder["hidden_size"]
    assert config.loss == load_config("scenes", {"loss": {"name": "infonce"}}).loss
    assert [s.epochs for s in config.stages] == [15, 1, 1, 16]  # the last of pretrained
    assert config.stages[0] == base.stages[0]

    for text, message in (
        ('base = "flickr9k"', r"No configuration 'flickr9k'"),
        ("base = 1", r"own\.toml: base names another configuration"),
        (f'base = "{path}"', r"own\.toml: base names another configuration, at most 4"),
        (
            'base = "scenes"\n[[stages]]\nname = "warm"',
            r"base has no stage 'warm'; there are align",
        ),
        ('base = "scenes"\n[embedding]\nsiez = 1', r"embedding\.siez: no such key"),
        ('base = "scenes"\nembedding = 1', r"embedding: .*given: 1"),
    ):
        path.write_text(text)
        with pytest.raises(MiteError, match=message):
            load_config(path)


def test_overrides_reach_tables_and_named_stages():
    assignments = [
        "backbone.name=my file.keras",
        "embedding.size=32",
        "stages.align.epochs=7",
        "stages.adversarial.adversarial_weight=[[0, 0.0], [1, 0.5]]",
        "adversarial_loss={name = 'mmd'}",
        "stages.finetune.flip=true",
    ]
    config = load_config("scenes", parse_overrides(assignments))
    assert config.backbone.name == "my file.keras"
    assert config.embedding.size == 32
    assert config.stages[0].epochs == 7
    assert config.stages[3].value_at("adversarial_weight", 0.5) == 0.25
    assert config.adversarial_loss == {"name": "mmd", "bandwidths": [0.5, 1.0, 2.0]}
    assert config.stages[1].flip is True


def test_the_baseline_has_no_adversary_and_is_the_same_otherwise():
    config = load_config("scenes")
    baseline = config.without_adversary()
    assert all(stage.adversarial_weight == 0 for stage in baseline.stages)
    assert not any(stage.discriminator_steps for stage in baseline.stages)
    assert any(stage.is_adversarial for stage in config.stages)
    assert baseline.image_head == config.image_head
    assert [s.epochs for s in baseline.stages] == [s.epochs for s in config.stages]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"embedding.siez": "1"}, r"embedding\.siez: no such key"),
        ({"embedding.size": "big"}, r"embedding\.size: .*integer.*given: 'big'"),
        ({"image_head.dropout": "1.5"}, r"image_head\.dropout: .*less than 1 \(given: 1\.5\)"),
        ({"image_head.size": "1"}, r"image_head\.size: no such key; there are hidden_size"),
        ({"text_encoder.layers": "1"}, r"text_encoder\.layers: no such key; there are name"),
        ({"text_encoder.pooling": "flatten"}, r"text_encoder\.pooling: .*given: 'flatten'"),
        ({"loss.margin": "wide"}, r"loss\.margin: .*number.*given: 'wide'"),
        (
            {"loss.name": "quadruplet"},
            "loss: its name is one of triplet, pooled-triplet, infonce, siglip .given",
        ),
        ({"adversarial_loss": {"name": "mmd", "widths": 1}}, r"_loss\.widths: no such key; .*band"),
        ({"training.seed": str(2**32)}, r"training\.seed: .*less than 4294967296"),
        ({"stages.align.epochs": "-1"}, r"stages\.align\.epochs: .*greater than or equal to 0"),
        ({"stages.warmup.epochs": "1"}, r"no stage is called 'warmup'; there are align, "),
        ({"backbone.name.x": "1"}, r"'name' is a value"),
        ({"stages.align": "1"}, r"name a key of the stage"),
    ],
)
def test_wrong_keys_and_values_are_named(override, message):
    with pytest.raises(MiteError, match=message):
        load_config("scenes", override)


def test_arguments_are_completed_by_the_signature_of_what_the_section_names():
    config = load_config("scenes", {"text_encoder.name": "transformer", "text_encoder.heads": 2})
    transformer = {key: config.text_encoder[key] for key in ("name", "heads", "layers", "pooling")}
    assert transformer == {"name": "transformer", "heads": 2, "layers": 2, "pooling": "average"}
    with_defaults = Config(stages=config.stages)
    assert with_defaults.text_encoder["name"] == "bag-of-words"
    assert with_defaults.discriminator["hidden_sizes"] == [256, 256]
    assert with_defaults.loss["negatives"] == "mix"
    model = build_model(config, vocabulary_size=20)
    assert model.text_encoder.get_layer("position").max_length == config.tokenizer.max_length


def test_a_file_of_the_old_form_is_refused_with_the_new_names(tmp_path):
    path = tmp_path / "old.toml"
    path.write_text("""
        [text]
        max_length = 9
        [model]
        image_dropout = 0.3
        [loss.matching]
        name = "triplet"
        [[stages]]
        name = "align"
        final_rate = 0.1
    """)
    with pytest.raises(MiteError) as refused:
        load_config(path)
    assert str(refused.value).split("\n")[1:] == [
        "  text.max_length is now tokenizer.max_length",
        "  model.image_dropout is now image_head.dropout",
        "  loss.matching is now loss",
        "  stages.align.final_rate is now stages.align.final_rate_factor",
    ]
    with pytest.raises(MiteError, match=r"loss\.adversarial\.name: .* now adversarial_loss\.name"):
        load_config("scenes", {"loss.adversarial.name": "mmd"})


def test_unknown_configurations_and_broken_files_are_named(tmp_path):
    with pytest.raises(MiteError, match=r"No configuration 'flickr9k'.*flickr8k"):
        load_config("flickr9k")
    path = tmp_path / "mine.toml"
    with pytest.raises(MiteError, match=r"mine\.toml"):
        load_config(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MiteError, match=r"mine\.toml is a Git LFS pointer"):
        load_config(path)
    path.write_text("a = [")
    with pytest.raises(MiteError, match=r"mine\.toml: not valid TOML"):
        load_config(path)
    path.write_text("")
    with pytest.raises(MiteError, match="stages: "):
        load_config(path)
    with pytest.raises(MiteError, match="KEY=VALUE"):
        parse_overrides(["epochs 3"])


def test_a_run_of_before_there_was_an_orientation_ignores_it(tmp_path):
    text = load_config("scenes").to_toml()
    (tmp_path / "config.toml").write_text(text.replace('orientation = "exif"\n', ""))
    (tmp_path / "run.json").write_text("{}")
    assert load_config(tmp_path / "config.toml").backbone.orientation == "exif"
    (tmp_path / "run.json").touch()
    run = RunFolder(tmp_path)
    assert run.config.backbone.orientation == "ignored"
    changed = run.read_config({"backbone.orientation": "exif", "embedding.size": 8})
    assert (changed.backbone.orientation, changed.embedding.size) == ("exif", 8)
