import tomllib
from importlib import resources

import pytest

from mite_tf.errors import MiteError
from mite_tf.losses import adversarial_loss
from mite_tf.runs import config_names, load_config
from mite_tf.studies import load_variants

PACKAGED = list(
    tomllib.loads(resources.files("mite_tf.studies").joinpath("variants.toml").read_text())
)


@pytest.mark.parametrize("config", config_names())
@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_variants_fit_the_packaged_configurations(name, config):
    base = load_config(config)
    [variant] = load_variants([name])
    settings = variant.of(base, seed=4)
    assert settings.training.seed == 4
    assert adversarial_loss(**settings.adversarial_loss)
    assert any(stage.is_adversarial for stage in settings.stages) == (
        name not in ("baseline", "triplet")
    )


def test_baseline_and_mite_are_what_their_names_say():
    base = load_config("scenes")
    baseline, mite = (
        variant.of(base, base.training.seed) for variant in load_variants(["baseline", "mite"])
    )
    assert mite == base
    assert baseline == base.without_adversary()


def test_a_file_adds_variants_and_replaces_those_of_the_package(tmp_path):
    file = tmp_path / "variants.toml"
    file.write_text(
        '[weak]\nweight_factor = 0.5\n[baseline]\nadversary = false\n"training.averaging" = 0.5\n'
    )
    weak, baseline, mmd = load_variants(["weak", "baseline", "mmd"], file)
    base = load_config("scenes")
    for stage, own in zip(weak.of(base, 0).stages, base.stages, strict=True):
        for epoch in (0.0, 0.5, 1.0):
            half = own.value_at("adversarial_weight", epoch) / 2
            assert stage.value_at("adversarial_weight", epoch) == half
    assert baseline.of(base, 0).training.averaging == 0.5
    assert not any(stage.is_adversarial for stage in baseline.of(base, 0).stages)
    assert mmd.overrides["adversarial_loss"]["name"] == "mmd"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[weak]\nstages.adversarial.epochs = 1\n", "'stages' is no key .* in quotes"),
        ("weak = 3\n", "expected a table for each variant"),
        ('["../x"]\n', r"'\.\./x': expected a table"),
        ("[weak\n", "not valid TOML"),
        ("[weak]\nadversary = 0\n", "adversary is true or false"),
        ('[weak]\nweight_factor = "2"\n', "weight_factor a number"),
        ('[weak]\n"stages.warm.epochs" = 1\n', "variant 'weak': .*no stage is called 'warm'"),
        (
            '[weak]\n"training.averaging" = 2\n',
            r"variant 'weak': .*\n.*training\.averaging: .*less",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, message):
    file = tmp_path / "variants.toml"
    file.write_text(text)
    with pytest.raises(MiteError, match=message):
        load_variants(["weak"], file)[0].of(load_config("scenes"), 0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MiteError, match=r"none\.toml: not a readable file of variants"):
        load_variants(["mite"], tmp_path / "none.toml")
