"""Proof that a server works with this client, in a minute."""

from mite_tf.serving.smoke.run import Outcome, smoke
from mite_tf.serving.smoke.subject import Subject

__all__ = ["Outcome", "Subject", "smoke"]
