"""`mite embed`."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout

from mite_tf.cli.options import Verbs, add_verb, chosen
from mite_tf.errors import printable


def add(verbs: Verbs) -> None:
    """Adds the verb `embed`."""
    embed = add_verb(
        verbs,
        "embed",
        _embed,
        "embed a collection of pictures and texts, to index and to search",
        "mite embed exports/first --images photos --texts captions.txt --out embeddings",
    )
    option = embed.add_argument
    option("export", help="export folder, with ONNX")
    option(
        "--images",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="folders, patterns in quotes, pictures, lists of them (.txt .jsonl .csv .tsv), "
        "webdataset .tar, .parquet; or URLs such as s3://bucket/photos",
    )
    option(
        "--texts",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="a text a line (.txt), or a column text or caption (.jsonl .csv .tsv .parquet)",
    )
    option("--out", required=True, metavar="DIR", help="folder for the embeddings")
    option("--fuse", action="store_true", help="one vector of a picture and its texts")
    option("--dtype", choices=("float32", "float16"), default="float32", help="of embeddings")
    option(
        "--dimensions",
        type=int,
        metavar="N",
        help="keep the first N values, of a model trained for it (embedding.nested_sizes)",
    )
    option(
        "--layout",
        choices=("parquet", "clip-retrieval"),
        default="parquet",
        help="clip-retrieval writes the folders of that tool too",
    )
    option("--engine", choices=("local", "ray"), default="local", help="ray: several machines")
    option("--ray-address", metavar="ADDRESS", help="cluster of Ray (default: start one here)")
    option("--processes", type=int, default=0, metavar="N", help="default: one per core")
    option("--shard-size", type=int, metavar="N", help="pictures in a file (default 256)")
    option("--fresh", action="store_true", help="remove embeddings in DIR and begin anew")
    embed.set_defaults(
        stopped=" What was embedded is whole. Go on with the same command, without --fresh."
    )


def _embed(options: argparse.Namespace) -> None:
    from mite_tf.collection.embed import FAILURES, embed_collection
    from mite_tf.progress import say
    from mite_tf.text.words import MANY_UNKNOWN

    given = chosen(
        options, "images texts fuse dtype dimensions layout engine processes ray_address fresh"
    )
    if options.shard_size is not None:
        given["shard_size"] = options.shard_size
    with redirect_stdout(sys.stderr):  # where Ray tells of workers that it has lost
        made = embed_collection(options.export, options.out, **given)
    parts = [f"{made.pictures} pictures", f"{made.texts} texts"]
    parts.append(f"{made.skipped} skipped" + f" (see {FAILURES} in it)" * bool(made.skipped))
    parts.append(f"{made.seconds:.1f} s")
    if made.pictures_per_second:
        parts.append(f"{made.pictures_per_second:.1f} images/s")
    print(printable(f"{options.out}: {', '.join(parts)}"))
    if made.unknown:
        say(f"Unknown words: {made.unknown:.1%} of those of the texts.")
    if made.unknown > MANY_UNKNOWN:
        say(
            "Warning: an unknown word says nothing, and texts that differ in such words alone are "
            "the same. Are they of a language that the model knows?"
        )
