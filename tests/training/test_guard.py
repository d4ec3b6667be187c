"""Trainings that are made to fail, each in its way, and some that are not."""

import json
import signal

import keras
import numpy as np
import pytest

from mite_tf import models
from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings
from mite_tf.losses import BidirectionalTriplet, FlippedLabels
from mite_tf.runs import Run, train
from mite_tf.training import Checkpoint, Guard, Limits, RetrievalMonitor, StageSchedule
from mite_tf.training.signs import SIGNS, streak
from tests.training.test_signs import COLLAPSED

EARLY = Limits(settling_steps=0)  # an epoch here has eight batches
WORDS = np.random.default_rng(9).normal(size=(60, 16))


def pairs(count, seed):
    """Captions of six words; the features of their image are the mean of six vectors."""
    random = np.random.default_rng(seed)
    words = random.integers(1, 60, (count, 6)).astype(np.int32)
    features = WORDS[words].mean(axis=1) + random.normal(0, 0.1, (count, 16))
    ids = {"image_id": np.arange(count), "caption_image_id": np.arange(count)}
    return {"features": features.astype(np.float32), "token_ids": words, **ids}


DEV = pairs(200, 1)


def make_model(
    *, negatives="soft", rate=3e-3, weight=0.0, r1=0.0, discriminator_rate=1e-3, steps=1, **step
):
    keras.utils.set_random_seed(0)
    plain = {"dropout": 0.0, "embedding_size": 16}
    model = models.MITE(
        models.ImageEncoder(None, models.image_head((16,), hidden_size=16, **plain)),
        models.bag_of_words_encoder(60, word_size=16, hidden_size=0, **plain),
        models.modality_discriminator(16, hidden_sizes=(32, 32), input_dropout=0.0),
    )
    model.compile(
        keras.optimizers.AdamW(rate, global_clipnorm=2.0),
        discriminator_optimizer=keras.optimizers.Adam(discriminator_rate, beta_1=0.5),
        loss=BidirectionalTriplet(margin=0.2, negatives=negatives),
        adversarial_loss=FlippedLabels(r1_penalty=r1),
    )
    model.adversarial_weight.assign(weight)
    model.configure_step(discriminator_steps=steps, **step)
    return model


def fit(model, guard, epochs, *before, data=None, probe=True):
    def embed():
        images, captions = model(DEV)
        return Embeddings(np.array(images), np.array(captions), np.arange(len(DEV["image_id"])))

    monitor = RetrievalMonitor(embed, probe_every=int(probe))
    data = pairs(256, 0) if data is None else data
    callbacks = [*before, monitor, guard]
    return model.fit(data, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks).history


class LargeSteps(keras.callbacks.Callback):
    """Sets a learning rate with which nothing stays learned."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.optimizer.learning_rate = 100.0


class BrokenBatch(keras.callbacks.Callback):
    """Lets one weight become NaN, once."""

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == 2 and batch == 5:
            words = self.model.text_encoder.trainable_variables[0]
            words.assign(np.array(words.value) * np.nan)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def kinds(guard):
    return [finding.kind for finding in guard.findings]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"negatives": "hardest"}, marks=pytest.mark.slow),
        {"weight": 0.3, "r1": 0.1},
    ],
    ids=str,
)
def test_a_healthy_training_gives_no_alarm(settings):
    guard = Guard()
    history = fit(make_model(**settings), guard, epochs=7, probe=2)
    assert guard.findings == []
    assert history["rsum"][-1] > 400


class TestCollapse:
    def test_is_told_once_with_what_to_change(self, capsys):
        guard = Guard(limits=EARLY)
        fit(make_model(negatives="hardest", rate=0.4), guard, epochs=9, probe=False)
        assert kinds(guard) == ["collapse"]
        told = str(guard.findings[0])
        assert told.startswith("Since epoch 3 the embeddings have collapsed")
        assert "of embeddings all alike is 0.400; lower learning_rate" in told  # 2 * margin
        assert told.replace("\n", " ") in capsys.readouterr().err.replace("\n", " ")

    def test_acting_on_it_brings_back_a_training_that_learns(self):
        guard = Guard("act", limits=EARLY, on_finding=lambda finding: None)
        model = make_model(negatives="hardest", rate=0.4)
        history = fit(model, guard, epochs=18, probe=False)
        assert set(kinds(guard)) == {"collapse"}
        assert history["matching_loss"][-1] < 0.8 * history["loss_if_alike"][-1]
        halvings = len(guard.findings)
        assert float(model.optimizer.learning_rate) == pytest.approx(0.4 / 2**halvings)

    def test_stopping_raises_the_sentence(self):
        guard = Guard("stop", limits=Limits(settling_steps=-1, patience=1))
        guard.set_model(make_model(steps=0))
        guard.on_epoch_begin(0)
        with pytest.raises(MiteError, match=r"have collapsed.*lower learning_rate.*train anew"):
            guard.on_epoch_end(0, COLLAPSED)
        assert kinds(guard) == ["collapse"]


def test_a_loss_that_diverges_leads_back_to_the_best_epoch():
    guard = Guard("act", on_finding=lambda finding: None)
    model = make_model()
    history = fit(model, guard, 7, LargeSteps(4), probe=False)
    assert kinds(guard) == ["divergence"]
    assert guard.findings[0].since == 5
    images, captions = model(DEV)
    found = np.argmax(np.array(images) @ np.array(captions).T, axis=1)
    recall = 100 * np.mean(found == np.arange(len(found)))
    assert recall == pytest.approx(history["image_to_text_r1"][3])
    assert float(model.optimizer.learning_rate) == 50.0


class TestNotFinite:
    def test_training_stops_at_the_batch(self):
        guard = Guard()
        with pytest.raises(MiteError, match=r"In epoch 3 matching_loss is not a finite .* batch 6"):
            fit(make_model(), guard, 5, BrokenBatch(), probe=False)
        assert kinds(guard) == ["not finite"]

    def test_a_weight_that_breaks_with_the_last_batch_is_seen(self):
        class Late(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 7:
                    kernel = self.model.encoder_variables[0]
                    kernel.assign(np.array(kernel.value) * np.inf)

        with pytest.raises(MiteError, match=r"kernel is not a finite number after batch 8"):
            fit(make_model(), Guard(), 1, Late(), probe=False)

    def test_acting_on_it_leads_back_to_finite_losses(self):
        guard = Guard("act", on_finding=lambda finding: None)
        history = fit(make_model(), guard, 6, BrokenBatch(), probe=False)
        assert kinds(guard) == ["not finite"]
        assert np.isfinite(history["matching_loss"]).all()
        assert history["rsum"][-1] > history["rsum"][1]

    def test_attempts_that_do_not_help_end(self):
        data = pairs(256, 0)
        data["features"][77] = np.nan  # there at every epoch, whatever the guard does
        guard = Guard("act", attempts=2, on_finding=lambda finding: None)
        with pytest.raises(MiteError, match="Nothing helped in 2 attempts"):
            fit(make_model(), guard, 9, data=data, probe=False)
        assert kinds(guard) == ["not finite"] * 3


class TestAdversary:
    def test_a_discriminator_that_wins(self):
        # Far too weak an adversary for a discriminator that takes five large steps at a time.
        model = make_model(
            weight=1e-3, steps=5, discriminator_rate=1e-2, negatives="hardest", rate=1e-3
        )
        guard = Guard(on_finding=lambda finding: None)
        fit(model, guard, 6)
        assert kinds(guard) == ["winning discriminator"]
        assert "r1_penalty" in guard.findings[0].advice

    def test_a_discriminator_that_learns_nothing(self):
        model = make_model(trains_encoders=False)
        for rate, probe in ((1e-7, True), (1e3, False)):  # too small, too large
            model.discriminator_optimizer.learning_rate = rate
            guard = Guard(on_finding=lambda finding: None)
            fit(model, guard, 4, probe=probe)
            assert kinds(guard) == ["losing discriminator"]

    def test_encoders_that_run_in_circles(self):
        model = make_model(weight=1.0)  # a strong one, and nothing damps the discriminator
        guard = Guard("act", on_finding=lambda finding: None)
        history = fit(model, guard, 8)
        assert kinds(guard) == ["rotation"]
        [finding] = guard.findings
        streaked = slice(finding.since - 1, finding.epoch)
        assert max(history["discriminator_accuracy"][streaked]) < 0.65
        assert min(history["probe_accuracy"][streaked]) > 0.9
        assert finding.done == "The adversarial weight is halved."
        assert float(model.adversarial_weight.value) == 0.5

    def test_encoders_that_run_round_a_discriminator_at_rest(self):
        guard = Guard(on_finding=lambda finding: None)
        fit(make_model(weight=1.0, steps=0), guard, 5)
        assert kinds(guard) == ["rotation"]
        [rotation] = [sign for sign in SIGNS if sign.kind == "rotation"]
        assert streak(rotation, guard.state()["rows"], Limits()) >= 3
        without = [row | {"has_discriminator": False} for row in guard.state()["rows"]]
        assert streak(rotation, without, Limits()) == 0


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="action='pray'"):
        Guard("pray")


@pytest.fixture
def make_short(table, tmp_path, make_config):
    """Two epochs of `align` and those of `adversarial`, on features that need no computing."""
    random = np.random.default_rng(0)
    features = np.eye(3, dtype=np.float32)[np.arange(60) % 3] + random.normal(0, 0.1, (60, 3))
    np.savez(tmp_path / "features.npz", ids=table.image_ids, features=features)

    def make(adversarial, **more):
        epochs = {stage.name: 0 for stage in make_config().stages}
        epochs |= {"align": 2, "adversarial": adversarial}
        return make_config(
            **{f"stages.{name}.epochs": number for name, number in epochs.items()},
            **{f"stages.{name}.backbone_share": 0 for name in epochs},
            **{"backbone.name": "features", "backbone.features": str(tmp_path / "features.npz")},
            **more,
        )

    return make


def values_of(run):
    with np.load(run.state) as file:
        return json.loads(str(file["values"]))


class TestRun:
    @pytest.mark.slow
    def test_what_is_not_finite_leaves_the_last_good_state(self, table, tmp_path, make_short):
        config = make_short(1, **{"stages.adversarial.learning_rate": 1e30})
        run = Run(tmp_path / "run")
        with pytest.raises(MiteError, match=r"\(adversarial\).*lower stages.adversarial.learning"):
            train(table, run.path, config=config, quiet=True)
        assert values_of(run)["epoch"] == 2
        with np.load(run.state) as file:
            assert all(np.isfinite(file[name]).all() for name in file.files if name != "values")
        assert list(run.best_folders()) == ["align"]
        [line] = run.warnings_file.read_text().splitlines()
        assert line.startswith("In epoch 3 (adversarial) ")

    @pytest.mark.slow
    def test_an_interrupted_training_remembers_what_the_guard_did(
        self, table, tmp_path, make_short, monkeypatch
    ):
        config = make_short(0, **{"training.guard": "act"})
        original = StageSchedule.on_train_batch_begin
        interrupts = False

        def break_one_batch(self, batch, logs=None):
            nonlocal interrupts
            original(self, batch, logs)
            step = (self._epoch, self.first_step + batch)
            if step == (1, 1):
                words = self.model.text_encoder.trainable_variables[0]
                words.assign(np.array(words.value) * np.nan)
            if step == (1, 3) and interrupts:
                interrupts = False
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(StageSchedule, "on_train_batch_begin", break_one_batch)
        whole = train(table, tmp_path / "whole", config=config, quiet=True)
        interrupts = True
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "stopped", config=config, quiet=True)
        resumed = train(table, tmp_path / "stopped", resume=True, quiet=True)
        assert values_of(whole)["schedule"]["rate_factor"] == 0.5
        assert values_of(resumed)["guard"] == values_of(whole)["guard"]
        assert resumed.warnings_file.read_text() == whole.warnings_file.read_text()
        with np.load(resumed.state) as ours, np.load(whole.state) as theirs:
            names = [name for name in theirs.files if name != "values"]
            assert all(np.array_equal(ours[name], theirs[name]) for name in names)


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    model = make_model()
    checkpoint = Checkpoint(
        tmp_path / "state.npz", model, further_variables=[], values=dict, save_minutes=1,
        interruption=None,
    )  # fmt: skip
    checkpoint.save()
    before = (tmp_path / "state.npz").read_bytes()
    kernel = model.encoder_variables[0]
    kernel.assign(np.array(kernel.value) * np.nan)
    checkpoint.save()
    assert (tmp_path / "state.npz").read_bytes() == before
