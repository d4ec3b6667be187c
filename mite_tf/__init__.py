"""Modality-invariant image-text embedding for image-sentence matching, in Keras on TensorFlow.

`import mite_tf as mite` loads no TensorFlow; the names below load what they need when they are
first used.

Example:
    >>> import mite_tf as mite
    >>> "train" in dir(mite), "scenes" in mite.config_names()
    (True, True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mite_tf._version import __version__
from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.registration import register_when_keras_loads

if TYPE_CHECKING:
    from mite_tf.data import CaptionedImages, check, read
    from mite_tf.encoders import Encoders
    from mite_tf.evaluation import Evaluation, evaluate_embeddings
    from mite_tf.export import verify
    from mite_tf.models import MITE, write_backbone
    from mite_tf.retrieval import VectorIndex
    from mite_tf.runs import (
        Config,
        Run,
        config_names,
        embed,
        evaluate,
        export_run,
        load_config,
        search,
        train,
    )
    from mite_tf.scenes import write_scenes
    from mite_tf.serving import serve, verify_server
    from mite_tf.studies import StudyFolder, study
    from mite_tf.training import Guard, Stage, StageSchedule

_HOMES = {
    "mite_tf.data": ("CaptionedImages", "check", "read"),
    "mite_tf.scenes": ("write_scenes",),
    "mite_tf.encoders": ("Encoders",),
    "mite_tf.evaluation": ("Evaluation", "evaluate_embeddings"),
    "mite_tf.export": ("verify",),
    "mite_tf.models": ("MITE", "write_backbone"),
    "mite_tf.retrieval": ("VectorIndex",),
    "mite_tf.serving": ("serve", "verify_server"),
    "mite_tf.studies": ("StudyFolder", "study"),
    "mite_tf.runs": (
        "Config",
        "Run",
        "config_names",
        "embed",
        "evaluate",
        "export_run",
        "load_config",
        "search",
        "train",
    ),
    "mite_tf.training": ("Guard", "Stage", "StageSchedule"),
}
register_when_keras_loads()
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = (
    "collection", "data", "evaluation", "export", "losses", "models", "page", "reports",
    "retrieval", "runs", "scenes", "serving", "studies", "text", "training",
)  # fmt: skip

__all__ = [
    "MITE",
    "CaptionedImages",
    "Config",
    "Encoders",
    "Evaluation",
    "Guard",
    "MiteError",
    "Run",
    "Stage",
    "StageSchedule",
    "StudyFolder",
    "VectorIndex",
    "__version__",
    "check",
    "config_names",
    "embed",
    "evaluate",
    "evaluate_embeddings",
    "export_run",
    "load_config",
    "read",
    "search",
    "serve",
    "study",
    "train",
    "verify",
    "verify_server",
    "write_backbone",
    "write_scenes",
]


if not TYPE_CHECKING:  # a type checker would take every misspelt name for one of these

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            with from_extra("tensorflow", f"mite_tf.{name}"):
                return getattr(import_module(_HOME_OF[name]), name)
        if name in _ROOMS:
            return import_module(f"mite_tf.{name}")
        raise AttributeError(f"module 'mite_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_ROOMS})
