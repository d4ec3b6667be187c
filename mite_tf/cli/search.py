"""`mite search`."""

from __future__ import annotations

import argparse
import sys
import warnings

from mite_tf.cli.options import Verbs, add_source, add_verb, chosen, tell_written
from mite_tf.errors import printable
from mite_tf.quiet import load_tensorflow


def add(verbs: Verbs) -> None:
    """Adds the verb `search`."""
    search = add_verb(
        verbs,
        "search",
        _search,
        "find the images that fit a text, or the captions that fit an image",
        'mite search runs/first --data photos "a dog leaps into the water" --html found.html',
    )
    search.add_argument("run", help="run folder")
    search.add_argument("query", nargs="?", help="a text")
    search.add_argument("--image", metavar="FILE", help="an image, instead of a text")
    search.add_argument("--data", required=True, metavar="PATH", help="captioned images")
    search.add_argument("--split", help="search in this split alone (default: all)")
    search.add_argument("--stage", help="encoders of this stage (default: the last)")
    search.add_argument("--top", type=int, default=10, metavar="K", help="results (default 10)")
    search.add_argument("--html", metavar="FILE", help="write a page that shows the results")
    search.add_argument(
        "--no-hub-correction",
        dest="hub_correction",
        action="store_false",
        help="rank by plain cosine, also what is near to everything",
    )
    add_source(search)


def _search(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.runs import search

    given = chosen(options, "query image split stage top format root html hub_correction")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hits = search(options.run, options.data, **given)
    for each in told:
        print(printable(f"mite: {each.message}"), file=sys.stderr)
    corrected = any(hit.score != hit.cosine for hit in hits)
    for hit in hits:
        cosine = f" (cosine {hit.cosine:6.3f})" if corrected else ""
        print(f"{hit.score:6.3f}{cosine}  {printable(hit.id)}")
    tell_written(options.html)
