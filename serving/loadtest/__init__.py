"""Load tests of a server: throughput, latency, and which batching parameters fit."""

from mite_tf.serving.loadtest.batch_sizes import BatchSizes
from mite_tf.serving.loadtest.batching_file import batching_text, write_batching
from mite_tf.serving.loadtest.batching_sweep import BatchingSweep, BatchingTrial, sweep_batching
from mite_tf.serving.loadtest.batching_table import print_batching_sweep
from mite_tf.serving.loadtest.latencies import Latencies
from mite_tf.serving.loadtest.load_test import load_test
from mite_tf.serving.loadtest.plot import plot_result, write_figure
from mite_tf.serving.loadtest.proposal import Proposal, propose
from mite_tf.serving.loadtest.result import LoadTestResult
from mite_tf.serving.loadtest.sweep import Sweep, load_sweep
from mite_tf.serving.loadtest.sweep_plot import plot_sweep
from mite_tf.serving.loadtest.sweep_table import print_sweep
from mite_tf.serving.loadtest.table import print_result

__all__ = [
    "BatchSizes",
    "BatchingSweep",
    "BatchingTrial",
    "Latencies",
    "LoadTestResult",
    "Proposal",
    "Sweep",
    "batching_text",
    "load_sweep",
    "load_test",
    "plot_result",
    "plot_sweep",
    "print_batching_sweep",
    "print_result",
    "print_sweep",
    "propose",
    "sweep_batching",
    "write_batching",
    "write_figure",
]
