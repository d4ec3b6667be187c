import pytest
from pydantic import ValidationError

from mite_tf.training import Stage


def test_course_is_a_number_or_lines_between_points():
    stage = Stage(
        name="s", epochs=8, hardest_share=[(0, 0.0), (2, 0.0), (4, 1.0)], adversarial_weight=0.3
    )
    assert [stage.value_at("hardest_share", e) for e in (0, 2, 3, 4, 7)] == [0, 0, 0.5, 1, 1]
    assert stage.value_at("adversarial_weight", 5) == 0.3


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # warm-up over 2 of 10 epochs, then 8 epochs of decay to a tenth
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("cosine", [0.5, 1.0, 0.55, 0.1, 0.1]),
        ("step", [0.5, 1.0, 0.1, 0.1, 0.1]),
    ],
)
def test_learning_rate_rises_and_decays(decay, expected):
    stage = Stage(name="s", epochs=10, warmup_epochs=2, decay=decay, final_rate_factor=0.1)
    assert [stage.rate_at(e) for e in (1, 2, 6, 10, 99)] == pytest.approx(expected)


def test_round_trip_through_plain_values():
    stage = Stage(name="s", epochs=3, hardest_share=[(0, 0.5)], flip=True)
    assert Stage.from_config(stage.get_config()) == stage


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": -1}, {"smallest_crop": 0}, {"decay": "linear"}, {"name": "Two Words"}, {"x": 1}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Stage(**{"name": "s", "epochs": 1, **wrong})


def test_a_stage_is_adversarial_if_its_weight_is_ever_above_zero():
    weights = [0.0, 0.1, [(0, 0.0), (1, 0.1)], [(0, 0.0), (1, 0.0)]]
    stages = [Stage(name="a", epochs=1, adversarial_weight=weight) for weight in weights]
    assert [stage.is_adversarial for stage in stages] == [False, True, True, False]


def test_backbone_needs_pixels():
    with pytest.raises(ValidationError, match="needs inputs = 'pixels'"):
        Stage(name="s", epochs=1, backbone_share=0.5)
