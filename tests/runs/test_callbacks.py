import csv
import random
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

from mite_tf.errors import MiteError
from mite_tf.runs import Run, train
from mite_tf.training import read_values


@pytest.fixture
def plain(make_config):
    """`align` alone, in four epochs of six steps."""
    rest = {f"stages.{stage.name}.epochs": 0 for stage in make_config().stages[1:]}
    rest |= {"stages.align.inputs": "features", "stages.align.backbone_share": 0}
    return lambda **more: make_config(**rest | more)


class Counter(Callback):
    """Records every hook of a training, and what the logs hold."""

    def __init__(self):
        super().__init__()
        self.hooks, self.logs = [], {}

    def on_train_begin(self, logs=None):
        self.hooks.append("begin")

    def on_train_end(self, logs=None):
        self.hooks.append("end")
        self.last = logs

    def on_epoch_begin(self, epoch, logs=None):
        self.hooks.append(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        self.hooks.append(".")

    def on_train_batch_end(self, batch, logs=None):
        self.hooks.append(".")

    def on_epoch_end(self, epoch, logs=None):
        self.logs = logs


class Stop(Callback):
    """Ends training after a batch of an epoch, as a signal or as a callback does."""

    def __init__(self, stop, *, epoch, batch):
        super().__init__()
        self.stop, self.at = stop, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.stop(self.model)


def interrupt(model):
    signal.raise_signal(signal.SIGINT)


def end(model):
    model.stop_training = True


@pytest.mark.slow
def test_a_training_is_one_to_a_callback_also_when_resumed(table, tmp_path, plain):
    counter, config = Counter(), plain(**{"stages.align.epochs": 3})
    steps = ["."] * 12  # six of them, begin and end
    with pytest.raises(KeyboardInterrupt):
        train(
            table, tmp_path / "run", config=config, quiet=True,
            callbacks=[counter, Stop(interrupt, epoch=1, batch=0)],
        )  # fmt: skip
    assert counter.hooks == ["begin", 0, *steps, 1, ".", "."]
    counter.hooks.clear()
    run = train(table, tmp_path / "run", resume=True, quiet=True, callbacks=[counter])
    assert counter.hooks == ["begin", 1, *steps[2:], 2, *steps, "end"]
    assert counter.params["epochs"] == 3
    assert counter.last == counter.logs
    assert {"loss", "val_loss", "matching_loss", "rsum", "centroid_gap", "stage"} <= set(
        counter.logs
    )
    assert counter.logs["rsum"] == run.history()[-1]["rsum"]
    counter.hooks.clear()
    train(table, run, resume=True, quiet=True, callbacks=[counter])
    assert counter.hooks == []


@pytest.mark.slow
def test_a_folder_that_vanishes_meanwhile_ends_the_training_and_comes_back(table, tmp_path, plain):
    config, run, gone = plain(**{"stages.align.epochs": 3}), tmp_path / "run", tmp_path / "gone"
    vanish = Stop(lambda _: run.rename(gone), epoch=1, batch=2)
    with pytest.raises(MiteError, match="run: its files are gone"):
        train(table, run, config=config, quiet=True, callbacks=[vanish])
    assert not run.exists()
    gone.rename(run)
    assert train(table, run, resume=True, quiet=True).finished


@pytest.mark.slow
def test_a_disk_that_fills_up_names_the_file_and_loses_nothing(table, tmp_path, plain, monkeypatch):
    """The first epoch is saved, the second one is not."""

    def fill(_):
        monkeypatch.setattr("numpy.savez", fail)

    def fail(*given, **arrays):
        raise OSError(28, "No space left on device")

    config, run = plain(**{"stages.align.epochs": 2}), tmp_path / "run"
    with pytest.raises(OSError, match="No space left on device") as caught:
        train(
            table, run, config=config, quiet=True,
            callbacks=[Stop(fill, epoch=1, batch=2)],
        )  # fmt: skip
    assert caught.value.filename == str(run / "checkpoint" / "state.npz")
    monkeypatch.undo()
    assert read_values(run / "checkpoint" / "state.npz")["epoch"] == 1
    assert train(table, run, resume=True, quiet=True).finished


@pytest.mark.slow
def test_callbacks_of_keras_save_log_and_bring_back_what_was_measured(table, tmp_path, plain):
    best = str(tmp_path / "best.keras")
    stopping = EarlyStopping(
        "rsum", mode="max", patience=1, min_delta=1000, restore_best_weights=True
    )  # the first epoch is the best one
    run = train(
        table, tmp_path / "run", quiet=True,
        config=plain(**{"stages.align.epochs": 6, "training.select_by": "last"}),
        callbacks=[
            stopping,
            ModelCheckpoint(best, "rsum", mode="max", save_best_only=True),
            CSVLogger(tmp_path / "log.csv"),
        ],
    )  # fmt: skip
    history = run.history()
    assert len(history) == 2
    assert run.finished
    assert run.ended_early
    with (tmp_path / "log.csv").open() as file:
        logged = [float(row["rsum"]) for row in csv.DictReader(file)]
    assert logged == [row["rsum"] for row in history]
    # The encoders kept are those of the best epoch, averaged as they were measured.
    assert run.evaluate(table, quiet=True).rsum == pytest.approx(history[0]["rsum"])
    saved = keras.saving.load_model(best, compile=False)
    measured = max(history, key=lambda row: row["rsum"])
    if measured is history[0]:
        kept = run.encoders().text_encoder.get_weights()
        for ours, theirs in zip(saved.text_encoder.get_weights(), kept, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    # It is over: resuming changes nothing, and nothing can begin from its end.
    state = run.state.read_bytes()
    train(table, run, resume=True, quiet=True)
    assert run.state.read_bytes() == state
    with pytest.raises(MiteError, match="is not finished"):
        train(table, tmp_path / "next", config=run.config, beginning=run, quiet=True)


def test_a_stop_in_mid_epoch_ends_the_training_after_measuring(table, tmp_path, plain):
    stop = Stop(end, epoch=1, batch=1)
    run = train(table, tmp_path / "run", config=plain(), quiet=True, callbacks=[stop])
    assert [row["epoch"] for row in run.history()] == [1, 2]
    assert run.finished


class Diverge(Callback):
    """Breaks a weight, so that losses are not finite from then on."""

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.optimizer.iterations == 8:
            words = self.model.text_encoder.trainable_variables[0]
            words.assign(np.nan * words)


def test_a_training_that_a_nan_ends_keeps_its_last_good_state(table, tmp_path, plain):
    config, callbacks = plain(**{"training.guard": "off"}), [Diverge(), TerminateOnNaN()]
    run = train(table, tmp_path / "run", config=config, quiet=True, callbacks=callbacks)
    assert not run.finished
    assert [row["epoch"] for row in run.history()] == [1]
    assert np.isfinite(run.encoders().embed_text(["a red square"])).all()
    assert train(table, run, resume=True, quiet=True).finished


class Rates(Callback):
    """Records the learning rates of the three optimizers in each epoch."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            parts = ("optimizer", "backbone_optimizer", "discriminator_optimizer")
            self.rates.append([float(getattr(self.model, part).learning_rate) for part in parts])


@pytest.mark.slow
def test_a_plateau_lowers_all_rates_alike(table, tmp_path, plain):
    plateau = ReduceLROnPlateau("rsum", mode="max", min_delta=1000, patience=1, factor=0.5)
    seen = Rates()
    config = plain(**{"stages.align.decay": "constant", "stages.align.warmup_epochs": 0})
    train(table, tmp_path / "run", config=config, quiet=True, callbacks=[plateau, seen])
    factors = np.array(seen.rates) / seen.rates[0]
    np.testing.assert_allclose(factors, np.outer([1, 1, 0.5, 0.25], np.ones(3)), rtol=1e-6)


def test_determinism_and_seeds_are_put_back_after_a_training(table, tmp_path, plain):
    from tensorflow.python.framework import config

    during = []

    class Look(Callback):
        def on_train_begin(self, logs=None):
            during.append(config.is_op_determinism_enabled())

    random.seed(5)
    expected = random.random()
    random.seed(5)
    config_of_one = plain(**{"stages.align.epochs": 1})
    train(table, tmp_path / "run", config=config_of_one, quiet=True, callbacks=[Look()])
    assert during == [True]
    assert not config.is_op_determinism_enabled()
    assert random.random() == expected
    drawn = {float(tf.random.uniform(())) for _ in range(3)}  # refused if no seed were set
    assert len(drawn) == 3


def test_a_run_stands_for_its_folder(tmp_path):
    run = Run(tmp_path / "none")
    assert Run(run).path == run.path
    for use in (run.embed, run.evaluate, run.search):
        with pytest.raises(MiteError, match="none: no such run folder"):
            use(tmp_path, **({"query": "a dog"} if use == run.search else {}))
