"""`mite ui`."""

from __future__ import annotations

import argparse

from mite_tf.cli.options import Verbs, add_verb, chosen


def add(verbs: Verbs) -> None:
    """Adds the verb `ui`."""
    verb = add_verb(
        verbs,
        "ui",
        _ui,
        "search an index on a page in the browser, by sentences, pictures, or both",
        "mite ui photos.index\n  mite ui photos.embeddings --port 8080",
    )
    option = verb.add_argument
    option("index", help="index made by `mite index`, or embeddings made by `mite embed`")
    option(
        "--export",
        metavar="EXPORT",
        help="export that embeds queries (default: the one that the index was made with)",
    )
    option(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (default 127.0.0.1)"
    )
    option("--port", type=int, default=7860, help="to listen on (default 7860; 0 for any)")


def _ui(options: argparse.Namespace) -> None:
    from mite_tf.page import show_page

    show_page(options.index, **chosen(options, "export host port"))
