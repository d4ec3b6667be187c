"""A watch over a training: it sees collapse, divergence and a lost adversarial game."""

from mite_tf.training.guard.finding import Finding
from mite_tf.training.guard.guard import Guard
from mite_tf.training.guard.limits import Limits

__all__ = ["Finding", "Guard", "Limits"]
