"""`mite duplicates`."""

from __future__ import annotations

import argparse

from mite_tf.cli import found
from mite_tf.cli.options import Verbs, add_verb


def add(verbs: Verbs) -> None:
    """Adds the verb `duplicates`."""
    verb = add_verb(
        verbs,
        "duplicates",
        _duplicates,
        "list pictures and texts of an index that are nearly the same, in groups",
        "mite duplicates photos.index --modality image --threshold 0.98",
    )
    verb.add_argument("index", help="index")
    verb.add_argument(
        "--threshold", type=float, default=0.95, metavar="T", help="least cosine (default 0.95)"
    )
    verb.add_argument(
        "--modality", choices=("image", "text", "both"), default="both", help="(default both)"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")


def _duplicates(options: argparse.Namespace) -> None:
    from mite_tf.collection.duplicates import duplicates
    from mite_tf.progress import say
    from mite_tf.retrieval.collection_index import open_index

    groups = duplicates(
        open_index(options.index), threshold=options.threshold, modality=options.modality
    )
    if options.json:
        found.show_json([[each._asdict() for each in group] for group in groups])
        return
    for number, group in enumerate(groups):
        print(end="\n" * (number > 0))
        found.show(group)
    say(f"{len(groups)} group{'s' * (len(groups) != 1)}.")
