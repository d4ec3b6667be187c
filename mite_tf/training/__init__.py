"""Training: stages, the run folder, and `train`, which takes pictures to encoders."""

from mite_tf.training.averaging import WeightAveraging
from mite_tf.training.build import build_model
from mite_tf.training.callbacks import HistoryFile, RetrievalMonitor
from mite_tf.training.checkpoint import Checkpoint
from mite_tf.training.config import Config, config_names, load_config, parse_overrides
from mite_tf.training.encoders import Encoders
from mite_tf.training.guard import Finding, Guard, Limits
from mite_tf.training.interruption import Interruption
from mite_tf.training.run import Run
from mite_tf.training.schedule import StageSchedule
from mite_tf.training.stage import Stage
from mite_tf.training.train import train
from mite_tf.training.use import embed, evaluate, find

__all__ = [
    "Checkpoint",
    "Config",
    "Encoders",
    "Finding",
    "Guard",
    "HistoryFile",
    "Interruption",
    "Limits",
    "RetrievalMonitor",
    "Run",
    "Stage",
    "StageSchedule",
    "WeightAveraging",
    "build_model",
    "config_names",
    "embed",
    "evaluate",
    "find",
    "load_config",
    "parse_overrides",
    "train",
]
