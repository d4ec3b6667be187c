"""The run folder, and what is done with one: train, evaluate, search, embed."""

from mite_tf.runs.build import build_model
from mite_tf.runs.config import Config, config_names, load_config, parse_overrides
from mite_tf.runs.history import HistoryFile
from mite_tf.runs.run import Run
from mite_tf.runs.train import train
from mite_tf.runs.use import embed, evaluate, find

__all__ = [
    "Config",
    "HistoryFile",
    "Run",
    "build_model",
    "config_names",
    "embed",
    "evaluate",
    "find",
    "load_config",
    "parse_overrides",
    "train",
]
