"""What is said of a backbone before a training."""

from importlib import import_module

import keras
import pytest

from mite_tf.models import small_cnn
from mite_tf.runs import load_config, train
from mite_tf.runs.build import warnings_before


@pytest.fixture
def random():
    return small_cnn(image_size=24, width=8)


def test_a_random_backbone_is_warned_of_where_a_stage_freezes_it(random):
    assert warnings_before(load_config("scenes"), random) == []  # `align` trains all of it
    frozen = {"stages.align.inputs": "features", "stages.align.backbone_share": 0.0}
    [sentence] = warnings_before(load_config("scenes", frozen), random)
    assert "random weights and stage 'align' freezes it" in sentence
    [sentence] = warnings_before(
        load_config("scenes", {"stages.align.backbone_share": 0.5}), random
    )
    assert "stage 'align' trains 50% of it" in sentence
    random.get_layer("stage0_norm0").beta.assign_add([0.1] * 8)
    assert warnings_before(load_config("scenes", frozen), random) == []
    assert warnings_before(load_config("scenes"), None) == []


def test_check_false_silences_what_is_said_of_the_value_range():
    pixels = keras.Input((24, 24, 3))
    network = keras.Model(pixels, keras.layers.Conv2D(4, 3, bias_initializer="ones")(pixels))
    assert len(warnings_before(load_config("scenes"), network)) == 1
    assert warnings_before(load_config("scenes", {"backbone.check": False}), network) == []


def test_training_tells(table, tmp_path, make_config, monkeypatch, capsys):
    module = import_module("mite_tf.runs.train")  # the package has a function of this name
    monkeypatch.setattr(module, "fit_stages", lambda *_, **__: None)
    frozen = {"stages.align.inputs": "features", "stages.align.backbone_share": 0.0}
    train(table, tmp_path / "run", config=make_config(**frozen))
    told = " ".join(capsys.readouterr().err.split())
    assert "Warning: The backbone has random weights and stage 'align' freezes it" in told
