"""`mite index`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mite_tf.cli.options import Verbs, add_verb, tell_written
from mite_tf.errors import MiteError

if TYPE_CHECKING:
    from mite_tf.retrieval.collection_index import CollectionIndex

# What says how a new index is made, and what it is if nothing is said.
_KIND, _VECTORS, _TO = "auto", "float32", "faiss"
_OF_NEW = {
    "out": None, "kind": _KIND, "vectors": _VECTORS, "export": None, "to": _TO, "uri": None,
}  # fmt: skip


def add(verbs: Verbs) -> None:
    """Adds the verb `index`."""
    index = add_verb(
        verbs,
        "index",
        _index,
        "make an index of embeddings, or add to one and take away from it",
        "mite index photos.embeddings --out photos.index",
    )
    index.add_argument("path", help="folder of embeddings; or an index, with --add and the like")
    make = index.add_argument_group("a new index")
    make.add_argument("--out", metavar="INDEX", help="folder to make")
    make.add_argument(
        "--kind",
        choices=("auto", "flat", "hnsw", "ivfpq"),
        default=_KIND,
        help="one vector after another, a graph, or codes; auto: flat up to 100,000 pictures or "
        "texts, hnsw above",
    )
    make.add_argument(
        "--vectors",
        choices=("float32", "float16", "int8", "binary"),
        default=_VECTORS,
        help="what is searched; what the small ones find is ranked by the vectors as embedded",
    )
    make.add_argument(
        "--export",
        metavar="EXPORT",
        help="where the export lies that embeds queries (default: where it embedded these)",
    )
    make.add_argument("--to", choices=("faiss", "milvus"), default=_TO, help="default faiss")
    make.add_argument(
        "--uri",
        metavar="URI",
        help="Milvus: a folder NAME.db, or an address as http://localhost:19530",
    )
    change = index.add_argument_group("an index that is there").add_mutually_exclusive_group()
    change.add_argument("--add", metavar="EMBEDDINGS", help="add these; equal ids are replaced")
    change.add_argument("--delete", metavar="FILE", help="take away the ids in a file, one a line")
    change.add_argument("--compact", action="store_true", help="give back the room of what is gone")


def _index(options: argparse.Namespace) -> None:
    if options.add or options.delete or options.compact:
        _change(options)
        return
    place = options.uri if options.to == "milvus" else options.out
    if place is None:
        name = "--uri URI" if options.to == "milvus" else "--out INDEX"
        raise MiteError(f"Name where to make the index with {name}.")
    from mite_tf.collection.index_embeddings import index_embeddings
    from mite_tf.retrieval.milvus_index import is_milvus

    if is_milvus(place) != (options.to == "milvus"):
        raise MiteError(
            f"{place}: with --to milvus, name a folder that ends in .db or an address by --uri; "
            "without, any other folder by --out."
        )
    index = index_embeddings(
        options.path, place, kind=options.kind, vectors=options.vectors, export=options.export
    )
    _show(index)
    tell_written(place)


def _change(options: argparse.Namespace) -> None:
    for name, default in _OF_NEW.items():
        if getattr(options, name) != default:
            raise MiteError(
                f"--{name} is for a new index; one that is there stays as it was made. Leave it "
                "out."
            )
    from mite_tf.collection.index_embeddings import add_embeddings
    from mite_tf.collection.matches import read_lines
    from mite_tf.retrieval.collection_index import open_index

    if options.add:
        _show(add_embeddings(options.path, options.add))
        return
    if options.delete:
        ids = read_lines(options.delete, "ids")
        index = open_index(options.path)
        print(f"{index.delete(ids)} of {len(ids)} ids deleted; {len(index)} rows remain.")
        return
    index = open_index(options.path)
    index.compact()
    _show(index)


def _show(index: CollectionIndex) -> None:
    """Prints how many rows there are, and what was measured when they were indexed."""
    from rich.console import Console
    from rich.table import Table

    print(f"{index.name}: {len(index)} rows of {index.facts.model}.")
    measured = index.measurements()
    if not measured:
        return
    table = Table("rows", "searched by", "MB", "queries", "recall@10", "p50 ms", "p99 ms")
    for each in measured:
        table.add_row(
            f"{each['count']} {each['rows']}",
            ", ".join([each["kind"], each["vectors"], *_effort(each)]),
            f"{each['searched_mb'] or ''}",
            f"{each['queries']} {each['by']}",
            f"{each['recall']:.3f}",
            f"{each['p50_ms']:.2f}",
            f"{each['p99_ms']:.2f}",
        )
    Console(width=100).print(table)


def _effort(measured: Mapping[str, Any]) -> list[str]:
    """What was chosen to reach the recall; nothing where every row is compared as it is."""
    exact = measured["kind"] == "flat" and measured["vectors"].startswith("float")
    return [] if exact or not measured["effort"] else [f"effort {measured['effort']}"]
