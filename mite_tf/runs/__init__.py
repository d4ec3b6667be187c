"""The run folder, and what is done with one: train, embed, evaluate, search, export."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.runs"):
    from mite_tf.runs.build import build_model
    from mite_tf.runs.config import Config, load_config, parse_overrides
    from mite_tf.runs.config_file import config_names
    from mite_tf.runs.evaluate import embed, evaluate
    from mite_tf.runs.export_run import export_run
    from mite_tf.runs.folder import RunFolder
    from mite_tf.runs.run import Run
    from mite_tf.runs.search import search
    from mite_tf.runs.train import train

__all__ = [
    "Config",
    "Run",
    "RunFolder",
    "build_model",
    "config_names",
    "embed",
    "evaluate",
    "export_run",
    "load_config",
    "parse_overrides",
    "search",
    "train",
]
