"""`mite filter`."""

from __future__ import annotations

import argparse

from mite_tf.cli import found
from mite_tf.cli.options import Verbs, add_verb
from mite_tf.errors import MiteError


def add(verbs: Verbs) -> None:
    """Adds the verb `filter`."""
    verb = add_verb(
        verbs,
        "filter",
        _filter,
        "list, copy or move all that a query matches, as to clean a folder of photographs",
        'mite filter photos.index "a screenshot" --threshold 0.3 --move screenshots',
    )
    verb.add_argument("index", help="index")
    found.add_query(verb)
    found.add_correction(verb)
    many = verb.add_mutually_exclusive_group(required=True)
    many.add_argument("--threshold", type=float, metavar="T", help="all of at least this score")
    many.add_argument("-k", "--top", type=int, metavar="K", help="the best K")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--list", action="store_true", help="print what matches (default)")
    how.add_argument("--copy", metavar="DIR", help="copy pictures there; no file is overwritten")
    how.add_argument("--move", metavar="DIR", help="move pictures there; no file is overwritten")


def _filter(options: argparse.Namespace) -> None:
    from mite_tf.collection.matches import above, take_files
    from mite_tf.collection.query import QueryEncoder
    from mite_tf.progress import say
    from mite_tf.retrieval.collection_index import open_index

    folder, modality = options.copy or options.move, options.modality or "image"
    if folder and modality != "image":
        raise MiteError("Only pictures are copied and moved: leave --modality out.")
    index = open_index(options.index)
    weight = {} if options.text_weight is None else {"text_weight": options.text_weight}
    with QueryEncoder.of(index, options.export) as encoder, found.warnings_told():
        query, by = encoder.embed(options.query, options.image, **weight)
    how = {"by": by, "modality": modality, "hub_correction": options.hub_correction}
    if options.threshold is None:
        [matching] = index.search(query[None], k=options.top, **how)
        found.must_hold(index, matching, modality)
    else:
        matching = above(index, query, threshold=options.threshold, **how)
    if options.json:
        found.show_json([each._asdict() for each in matching])
    elif not folder:
        found.show(matching)
        say(f"{len(matching)} match.")
    if folder:
        taken, left = take_files(matching, folder, move=bool(options.move))
        for each in left:
            say(f"mite: {each}")
        if not options.json:
            for source, target in taken:
                print(f"{found.printable(source)} → {found.printable(target)}")
        say(f"{len(taken)} files {'moved' if options.move else 'copied'} to {folder}.")
