"""`mite data check` and `mite data scenes`."""

from __future__ import annotations

import argparse
import sys

from mite_tf.cli.options import Verbs, add_source, add_verb, chosen, tell_written
from mite_tf.errors import printable


def add(verbs: Verbs) -> None:
    """Adds the verbs `data check` and `data scenes`."""
    data = verbs.add_parser("data", help="check captioned images, or render scenes")
    kinds = data.add_subparsers(metavar="VERB", required=True)
    check = add_verb(
        kinds,
        "check",
        _check,
        "count images, captions and splits, and report every problem with file and line",
        "mite data check photos --json problems.json",
    )
    check.add_argument("path", help="folder or file of captioned images")
    add_source(check)
    check.add_argument("--json", metavar="FILE", help="write the report as JSON too")
    check.add_argument("--all", action="store_true", help="print every problem, not the first 20")
    scenes = add_verb(
        kinds,
        "scenes",
        _scenes,
        "render captioned scenes of simple objects, a data set to try things with",
        "mite data scenes scenes --train 2000 --dev 300",
    )
    scenes.add_argument("path", help="folder to write")
    for split, count in (("train", 2000), ("dev", 300), ("test", 300)):
        scenes.add_argument(
            f"--{split}", type=int, default=count, metavar="N", help=f"images (default {count})"
        )
    scenes.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    scenes.add_argument("--seed", type=int, default=0, help="another seed, other scenes")


def _check(options: argparse.Namespace) -> int:
    from mite_tf.data import check
    from mite_tf.files import write_text

    report = check(options.path, format=options.format, root=options.root)
    report.print(shown=sys.maxsize if options.all else 20)
    if options.json:
        write_text(options.json, report.to_json())
        tell_written(options.json)
    return 2 if report.errors else 0


def _scenes(options: argparse.Namespace) -> None:
    from mite_tf.scenes import write_scenes

    print(printable(write_scenes(options.path, **chosen(options, "train dev test size seed"))))
