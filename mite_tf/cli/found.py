"""How verbs take queries for an index, and print what they find."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mite_tf.errors import MiteError, printable

if TYPE_CHECKING:
    from mite_tf.retrieval.collection_index import CollectionIndex, Found


def add_query(verb: argparse.ArgumentParser) -> None:
    """Adds what is searched for in an index."""
    verb.add_argument("query", nargs="?", help="a text")
    verb.add_argument("--image", metavar="FILE", help="an image; with a text, both together")
    add_index_options(verb)


def add_index_options(verb: argparse._ActionsContainer) -> None:
    """Adds how an index is searched."""
    verb.add_argument(
        "--text-weight",
        type=float,
        metavar="W",
        help="share of the text beside an image, 0 to 1 (default 0.5)",
    )
    verb.add_argument(
        "--export", metavar="EXPORT", help="export that embeds the query (default: the index's)"
    )
    verb.add_argument(
        "--modality",
        choices=("image", "text", "both"),
        help="find pictures, texts or both",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")


def add_correction(verb: argparse.ArgumentParser) -> None:
    """Adds whether hubs are corrected."""
    verb.add_argument(
        "--no-hub-correction",
        dest="hub_correction",
        action="store_false",
        help="rank by plain cosine, also what is near to everything",
    )


@contextmanager
def warnings_told() -> Iterator[None]:
    """Says in a line each, on standard error, what the block warns of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    for each in told:
        print(printable(f"mite: {each.message}"), file=sys.stderr)


def must_hold(index: CollectionIndex, found: Sequence[Found], modality: str | None) -> None:
    """Refuses a search that can find nothing; every other finds the nearest, near or not.

    Raises:
        MiteError: If nothing was found.
    """
    if not found:
        rows = {"image": "pictures", "text": "texts"}.get(modality or "", "rows")
        raise MiteError(f"{index.name}: holds no {rows} to find, of {len(index)} rows in all.")


def show(found: Sequence[Found]) -> None:
    """Prints results, one a line."""
    corrected = any(each.score != each.cosine for each in found)
    for each in found:
        cosine = f" (cosine {each.cosine:6.3f})" if corrected else ""
        print(f"{each.score:6.3f}{cosine}  {what(each)}")


def what(found: Found) -> str:
    """Returns what a person knows a row by: its path, its text, or both."""
    return printable("  ".join(filter(None, (found.path, found.text))) or found.id)


def show_json(value: Any) -> None:
    """Prints JSON; a `NamedTuple` becomes an object."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
