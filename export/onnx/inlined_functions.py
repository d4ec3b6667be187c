"""Convolutions that Keras compiles with XLA, which tf2onnx leaves as calls of functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def functions_inlined() -> Iterator[None]:
    """Traces the bodies of functions into the graph that calls them, while the block runs.

    Keras calls grouped convolutions, as ConvNeXt has them, through a function that XLA is to
    compile, and such calls are never inlined later.
    """
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eager)
