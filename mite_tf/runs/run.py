"""A run: its folder, and what is done with it."""

from __future__ import annotations

from mite_tf.runs.evaluate import embed as _embed
from mite_tf.runs.evaluate import evaluate as _evaluate
from mite_tf.runs.export_run import export_run as _export_run
from mite_tf.runs.folder import RunFolder
from mite_tf.runs.hubs import hubs as _hubs
from mite_tf.runs.search import search as _search


class Run(RunFolder):
    """A run folder with what is done with it.

    `embed`, `evaluate` and `search` are the functions of the same names, and `export` is
    `export_run`, each with this run as its first argument: `run.evaluate("photos", split="test")`
    is `mite.evaluate(run, "photos", split="test")`. `hubs(stage)` gives the hub correction that it
    carries, a `mite_tf.retrieval.HubCorrection`, or None.

    Args:
        path: The folder.

    Example:
        >>> Run("runs/none").evaluate("photos")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: runs/none: no such run folder. Train one with `mite train`.
    """

    embed = _embed
    evaluate = _evaluate
    search = _search
    hubs = _hubs
    export = _export_run
