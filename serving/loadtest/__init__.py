"""Load tests of a server: throughput, latency, and the batching parameters that fit."""

from mite_tf.extras import from_extra

with from_extra("serving", "mite_tf.serving.loadtest"):
    from mite_tf.serving.loadtest.load_test import load_test
    from mite_tf.serving.loadtest.plot import plot_result, plot_sweep
    from mite_tf.serving.loadtest.result import LoadTestResult
    from mite_tf.serving.loadtest.sweep import Proposal, Sweep, load_sweep, write_batching
    from mite_tf.serving.loadtest.table import print_result, print_sweep

__all__ = [
    "LoadTestResult",
    "Proposal",
    "Sweep",
    "load_sweep",
    "load_test",
    "plot_result",
    "plot_sweep",
    "print_result",
    "print_sweep",
    "write_batching",
]
