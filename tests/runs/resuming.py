"""A training that is interrupted, and what is the same where it goes on."""

import signal

import keras
import numpy as np


class CtrlC(keras.callbacks.Callback):
    """Interrupts a training after a batch of an epoch, both from 0."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            signal.raise_signal(signal.SIGINT)


def arrays_of(run):
    """Gives weights, optimizers and averages of a run's state, by name."""
    with np.load(run.state) as file:
        return {name: file[name] for name in file.files if name != "values"}


def assert_same_state(one, other):
    ours, theirs = arrays_of(one), arrays_of(other)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not np.array_equal(ours[name], theirs[name])]
