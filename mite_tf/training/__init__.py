"""What any `fit` can use: stages, their schedule, a guard, checkpoints, averaging."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.training"):
    from mite_tf.training.averaging import WeightAveraging
    from mite_tf.training.checkpoint import Checkpoint
    from mite_tf.training.guard import Finding, Guard, print_finding
    from mite_tf.training.interruption import Interruption
    from mite_tf.training.retrieval_monitor import RetrievalMonitor
    from mite_tf.training.schedule import StageSchedule
    from mite_tf.training.signs import Limits
    from mite_tf.training.stage import Stage
    from mite_tf.training.state import read_values

__all__ = [
    "Checkpoint",
    "Finding",
    "Guard",
    "Interruption",
    "Limits",
    "RetrievalMonitor",
    "Stage",
    "StageSchedule",
    "WeightAveraging",
    "print_finding",
    "read_values",
]
