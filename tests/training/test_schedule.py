from functools import partial

import keras
import numpy as np
import pytest

from mite_tf.losses import BidirectionalTriplet
from mite_tf.training import Stage, StageSchedule, WeightAveraging


class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, step, logs=None):
        model = self.model
        rate, share = model.optimizer.learning_rate, model.matching_loss.hardest_share
        numbers = [round(float(each), 6) for each in (rate, model.adversarial_weight, share)]
        self.seen.append((*numbers, model.trains_encoders, model.discriminator_steps))


STAGES = [
    Stage(
        name="align", epochs=2, learning_rate=0.1, decay="constant",
        hardest_share=[(0, 0.0), (2, 1.0)],
    ),
    Stage(name="nothing", epochs=0),
    Stage(name="classify", epochs=1, trains_encoders=False, discriminator_steps=3),
    Stage(
        name="adversarial", epochs=2, learning_rate=0.2, decay="step", final_rate_factor=0.5,
        discriminator_steps=1, adversarial_weight=[(0, 0.0), (1, 0.4)],
    ),
]  # fmt: skip


@pytest.fixture
def make_fit(make_mite, make_batch):
    def make():
        model = make_mite(matching=BidirectionalTriplet(negatives="mix"))
        return model, partial(
            model.fit, make_batch(images=8), batch_size=4, verbose=0, shuffle=False
        )

    return make


def test_one_fit_goes_through_all_stages(make_fit):
    (_, fit), watch = make_fit(), Watch()
    schedule = StageSchedule(STAGES)
    history = fit(epochs=schedule.epochs, callbacks=[schedule, watch])
    assert history.history["stage"] == ["align"] * 2 + ["classify"] + ["adversarial"] * 2
    assert [seen[:3] for seen in watch.seen if seen[3]] == [
        (0.1, 0.0, 0.0), (0.1, 0.0, 0.25), (0.1, 0.0, 0.5), (0.1, 0.0, 0.75),
        (0.2, 0.0, 1.0), (0.2, 0.2, 1.0), (0.1, 0.4, 1.0), (0.1, 0.4, 1.0),
    ]  # fmt: skip
    assert [seen[3:] for seen in watch.seen[::2]] == [
        (True, 0), (True, 0), (False, 3), (True, 1), (True, 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_several_fits_are_the_same_as_one(make_fit):
    def weights(fits):
        (model, fit), schedule = make_fit(), StageSchedule(STAGES)
        for first, last in fits:
            fit(initial_epoch=first, epochs=last, callbacks=[schedule])
        return [v.numpy() for v in model.trainable_variables]

    for one, many in zip(weights([(0, 5)]), weights([(0, 1), (1, 4), (4, 5)]), strict=True):
        np.testing.assert_array_equal(one, many)


def test_epochs_belong_to_stages():
    schedule = StageSchedule(STAGES)
    assert schedule.epochs == 5
    assert [schedule.stage_at(e).name for e in (0, 1, 2, 3, 4, 9)] == [
        "align", "align", "classify", "adversarial", "adversarial", "adversarial",
    ]  # fmt: skip
    assert schedule.boundaries == [("align", 0), ("classify", 2), ("adversarial", 3)]


def test_wrong_schedules_are_refused():
    with pytest.raises(ValueError, match="different names"):
        StageSchedule([STAGES[0], STAGES[0]])
    with pytest.raises(ValueError, match="No stage has any epoch"):
        StageSchedule([STAGES[1]])


def test_averaging_follows_the_formula_and_lends_without_a_trace():
    variable = keras.Variable([1.0])
    averaging = WeightAveraging([variable], momentum=0.15, every=1)
    expected = 1.0
    for step, value in enumerate((2.0, 4.0, 8.0)):
        variable.assign([value])
        averaging.on_train_batch_end(step)
        momentum = min(0.15, (1 + step) / (10 + step))
        expected += (1 - momentum) * (value - expected)
    with averaging.lent():
        assert float(variable[0]) == pytest.approx(expected, rel=1e-6)
    assert float(variable[0]) == 8.0
    averaging.adopt()
    assert float(variable[0]) == pytest.approx(expected, rel=1e-6)
    assert int(averaging.steps) == 0
    with pytest.raises(ValueError, match="momentum=1"):
        WeightAveraging([variable], momentum=1)
    with pytest.raises(ValueError, match="every=0"):
        WeightAveraging([variable], every=0)


@pytest.mark.parametrize("take", ["lent", "adopt"])
@pytest.mark.parametrize("every", [3, 4, 1000])
def test_averaging_loses_no_step_whenever_it_is_read(every, take):
    """With weights 1 … n the average is the same after each n, or later by half of the distance."""
    often, seldom = keras.Variable([0.0]), keras.Variable([0.0])
    averagings = WeightAveraging([often], every=1), WeightAveraging([seldom], every=every)
    for step in range(1, 48):
        for variable, averaging in zip((often, seldom), averagings, strict=True):
            variable.assign([float(step)])
            averaging.on_train_batch_end(step)
        with averagings[0].lent(), averagings[1].lent():
            expected, found = float(often[0]), float(seldom[0])
        assert found == pytest.approx(expected, abs=1e-4 if step <= 9 * every else every / 2)
        assert float(seldom[0]) == step
    if take == "adopt":
        for averaging in averagings:
            averaging.adopt()
        assert float(seldom[0]) == pytest.approx(found)
        seldom.assign([found + 10.0])
        averagings[1].on_train_batch_end(0)
        assert float(averagings[1].averages[0][0]) == pytest.approx(found + 9.0)


def test_a_warm_up_of_one_step_is_a_step(make_fit):
    (_, fit), watch = make_fit(), Watch()
    stage = Stage(name="short", epochs=2, learning_rate=0.1, warmup_epochs=1, decay="constant")
    fit(epochs=2, callbacks=[StageSchedule([stage]), watch])
    assert [seen[0] for seen in watch.seen] == [0.05, 0.1, 0.1, 0.1]


def test_averaging_every_few_steps_ends_where_averaging_each_step_does():
    slow, fast = keras.Variable([0.0]), keras.Variable([0.0])
    often = WeightAveraging([slow], momentum=0.98, every=1)
    seldom = WeightAveraging([fast], momentum=0.98, every=4)
    for step in range(400):
        for variable, averaging in ((slow, often), (fast, seldom)):
            variable.assign([step / 400])
            averaging.on_train_batch_end(step)
    with often.lent(), seldom.lent():
        assert float(fast[0]) == pytest.approx(float(slow[0]), abs=0.01)


def test_a_stage_may_have_a_loss_of_its_own(make_fit):
    model, fit = make_fit()
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((model.matching_loss.name, logs["loss"]))
    )
    stages = [
        Stage(name="align", epochs=1),
        Stage(name="pooled", epochs=1, loss="pooled-triplet"),
        Stage(name="again", epochs=1),
    ]
    fit(epochs=3, callbacks=[StageSchedule(stages), look])
    names, losses = zip(*seen, strict=True)
    assert names == ("bidirectional_triplet", "pooled_triplet", "bidirectional_triplet")
    assert losses[1] > 2 * losses[2]  # of three kinds of pairs, where the other one has two
    assert model.loss is model.matching_loss
