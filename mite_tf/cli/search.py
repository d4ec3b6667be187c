"""`mite search`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mite_tf.cli import found
from mite_tf.cli.options import Verbs, add_source, add_verb, chosen, tell_written
from mite_tf.errors import MiteError, printable
from mite_tf.quiet import load_tensorflow

if TYPE_CHECKING:
    from mite_tf.retrieval.collection_index import CollectionIndex, Found

_OF_RUN = "split stage format root"
_OF_INDEX = "text_weight export modality json queries"


def add(verbs: Verbs) -> None:
    """Adds the verb `search`."""
    search = add_verb(
        verbs,
        "search",
        _search,
        "find the images and texts of an index that fit a text or an image, or those of data",
        'mite search photos.index "a dog leaps into the water" --html found.html\n'
        '  mite search runs/first --data photos "a dog leaps into the water"',
    )
    search.add_argument("place", metavar="INDEX|RUN", help="index, or run folder with --data")
    search.add_argument("query", nargs="?", help="a text")
    search.add_argument("--image", metavar="FILE", help="an image, instead of a text")
    search.add_argument("-k", "--top", type=int, default=10, metavar="K", help="(default 10)")
    search.add_argument("--html", metavar="FILE", help="write a page that shows the results")
    found.add_correction(search)
    index = search.add_argument_group("in an index")
    found.add_index_options(index)
    index.add_argument(
        "--queries", metavar="FILE", help="search for each text of a file, one a line"
    )
    run = search.add_argument_group("with a run")
    run.add_argument("--data", metavar="PATH", help="captioned images")
    run.add_argument("--split", help="search in this split alone (default: all)")
    run.add_argument("--stage", help="encoders of this stage (default: the last)")
    add_source(run)


def _search(options: argparse.Namespace) -> None:
    others = _OF_RUN if options.data is None else _OF_INDEX
    for name, value in chosen(options, others).items():
        if value:
            needed = "an index, without --data" if options.data else "a run, with --data PATH"
            raise MiteError(f"--{name.replace('_', '-')} is for the search with {needed}.")
    if options.data is None:
        _with_index(options)
    else:
        _with_run(options)
    tell_written(options.html)


def _with_run(options: argparse.Namespace) -> None:
    load_tensorflow()
    from mite_tf.runs import search

    given = chosen(options, "query image split stage top format root html hub_correction")
    with found.warnings_told():
        hits = search(options.place, options.data, **given)
    corrected = any(hit.score != hit.cosine for hit in hits)
    for hit in hits:
        cosine = f" (cosine {hit.cosine:6.3f})" if corrected else ""
        print(f"{hit.score:6.3f}{cosine}  {printable(hit.id)}")


def _with_index(options: argparse.Namespace) -> None:
    from mite_tf.recognition import recognize

    there = recognize(options.place)
    if there.kind == "run":
        raise MiteError(f"{options.place}: is {there.what}; name where to search with --data PATH.")
    from mite_tf.collection.query import QueryEncoder
    from mite_tf.retrieval.collection_index import open_index

    index = open_index(options.place)
    with QueryEncoder.of(index, options.export) as encoder:
        if options.queries:
            _batch(options, index, encoder)
            return
        with found.warnings_told():
            hits = _found(options, index, encoder)
    found.must_hold(index, hits, options.modality)
    if options.json:
        found.show_json([each._asdict() for each in hits])
    else:
        found.show(hits)
    if options.html:
        query = Path(options.image) if options.query is None else options.query
        _write_page(options.html, query, hits)


def _found(options: argparse.Namespace, index: CollectionIndex, encoder: Any) -> list[Found]:
    from mite_tf.collection.query import search_collection

    weight = {} if options.text_weight is None else {"text_weight": options.text_weight}
    return search_collection(
        index,
        encoder,
        text=options.query,
        image=options.image,
        k=options.top,
        modality=options.modality or "both",
        hub_correction=options.hub_correction,
        **weight,
    )


def _batch(options: argparse.Namespace, index: CollectionIndex, encoder: Any) -> None:
    from mite_tf.collection.matches import read_lines

    if options.query is not None or options.image or options.html:
        raise MiteError("--queries takes its texts from the file alone, and writes no page.")
    texts = read_lines(options.queries, "texts to search for")
    with found.warnings_told():
        vectors = encoder.embed_texts(texts)
    results = index.search(
        vectors,
        by="text",
        k=options.top,
        modality=options.modality or "both",
        hub_correction=options.hub_correction,
    )
    found.must_hold(index, results[0], options.modality)
    if options.json:
        pairs = zip(texts, results, strict=True)
        found.show_json(
            [{"query": text, "found": [each._asdict() for each in hits]} for text, hits in pairs]
        )
        return
    for text, hits in zip(texts, results, strict=True):
        print(printable(text))
        found.show(hits)


def _write_page(path: str, query: str | Path, hits: list[Found]) -> None:
    from mite_tf.extras import from_extra

    with from_extra("tensorflow", "A page of results"):
        import jinja2  # noqa: F401
    from mite_tf.collection.pictures import thumbnail
    from mite_tf.reports import write_contact_sheet
    from mite_tf.retrieval import Hit

    write_contact_sheet(
        path,
        query,
        [Hit(each.id, each.score, each.cosine) for each in hits],
        {each.id: each.path for each in hits if each.path is not None},
        captions={each.id: each.text for each in hits if each.text is not None},
        thumbnail=thumbnail,
    )
