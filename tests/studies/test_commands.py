import shlex

import pytest

from mite_tf.cli import parse
from mite_tf.runs import load_config, parse_overrides
from mite_tf.studies import load_variants
from mite_tf.studies.commands import Commands

COMMANDS = Commands(
    data="my photos",
    source="scenes",
    base=load_config(
        "scenes", {"backbone.name": "my backbone.keras", "stages.finetune.flip": True}
    ),
    reading={"format": "csv", "root": None, "skip_bad": True},
    studying={"split": "test", "out": "studies/first", "variants_file": None},
)


@pytest.mark.parametrize("name", ["baseline", "mite", "mmd", "wasserstein", "no-averaging"])
def test_a_training_is_reproduced_with_all_that_differs(name):
    [variant] = load_variants([name])
    config = variant.of(COMMANDS.base, seed=3)
    options = parse(shlex.split(COMMANDS.train(config, "runs/one"))[1:])
    assert load_config(options.config, parse_overrides(options.set)) == config
    assert (options.path, options.run) == ("my photos", "runs/one")
    assert (options.format, options.root, options.skip_bad) == ("csv", None, True)


def test_a_study_is_reproduced_with_its_seeds():
    line = COMMANDS.study(["baseline", "mite"], [4, 2, 3], stage="align")
    options = parse(shlex.split(line)[1:])
    assert load_config(options.config, parse_overrides(options.set)) == COMMANDS.base
    assert options.variants == "baseline,mite"
    assert (options.first_seed, options.seeds) == (2, 3)
    assert (options.split, options.stage, options.out) == ("test", "align", "studies/first")
    assert options.skip_bad
