"""`mite demo`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_verb
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `demo`."""
    demo = add_verb(
        verbs,
        "demo",
        _demo,
        "render scenes, train baseline and MITE, measure, search, and write a page",
        "mite demo --out demo",
    )
    demo.add_argument("--out", default="demo", metavar="DIR", help="folder for everything")
    demo.set_defaults(stopped=" What was saved last is whole. Go on with the same command.")


def _demo(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.demo import demo

    demo(options.out)
