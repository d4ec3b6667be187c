"""The signs of failure, read from the measurements of epochs alone."""

import numpy as np
import pytest

from mite_tf.training import Limits
from mite_tf.training.signs import SIGNS, streak

COLLAPSED = {
    "stage": "", "acted": False, "steps": 500, "trains_encoders": True, "similarity_gap": 0.01,
    "matching_loss": 0.4, "loss_if_alike": 0.4,
}  # fmt: skip

# Of an epoch, as far as the signs of the adversarial game read it.
GAME = {
    "stage": "", "acted": False, "trains_discriminator": True, "trains_encoders": True,
    "discriminator_accuracy": 0.55, "discriminator_loss": 0.7, "adversarial_loss": 0.7,
    "adversarial_weight": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "streaks"),
    [
        ([{}, {}, {"similarity_gap": 0.3, "matching_loss": 0.2}, {}], [0, 1, 2, 0, 1]),
        ([{}, {"acted": True}, {}], [0, 1, 0, 1]),  # it starts anew after an action
        ([{"steps": 99}, {}], [0, 0, 1]),  # the first steps of a training do not count
    ],
)
def test_a_streak_is_of_epochs_in_a_row(rows, streaks):
    rows = [COLLAPSED | row for row in rows]
    found = [streak(SIGNS[0], rows[:count], Limits()) for count in range(len(rows) + 1)]
    assert found == streaks


def test_losses_of_guessing_tell_of_a_penalty_that_is_too_high():
    # As measured on rendered scenes, with an r1_penalty of 10 and of 0.02.
    damped = GAME | {
        "probe_accuracy": 0.98, "discriminator_accuracy": 0.75, "discriminator_loss": 0.697,
        "adversarial_loss": 0.693, "loss_if_guessing": np.log(2),
    }  # fmt: skip
    light = {"discriminator_loss": 0.674, "adversarial_loss": 0.75}
    winning, losing = SIGNS[2:4]
    assert streak(losing, [damped] * 3, Limits()) == 3
    assert "lower adversarial_loss.r1_penalty" in losing.told(damped)[1]
    assert streak(losing, [damped | light] * 3, Limits()) == 0
    often = {"discriminator_accuracy": 0.99}  # by logits next to nothing: it wins nothing
    assert streak(winning, [damped | often] * 4, Limits()) == 0
    assert streak(winning, [damped | light | often] * 4, Limits()) == 3


def test_without_a_probe_nothing_is_said_of_it():
    seen = {sign.kind: sign for sign in SIGNS}
    assert streak(seen["rotation"], [GAME | {"probe_accuracy": 0.97}] * 3, Limits()) == 3
    for kind in ("winning discriminator", "losing discriminator", "rotation"):
        assert streak(seen[kind], [GAME] * 3, Limits()) == 0
