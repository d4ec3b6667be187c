"""What several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FORMATS = ("flickr", "karpathy", "coco", "csv", "tsv", "jsonl", "folder")


def add_verb(
    verbs: Verbs,
    name: str,
    call: Callable[[argparse.Namespace], int | None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Adds a verb that calls `call` with its options; the help ends with the example."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(call=call)
    return verb


def add_source(verb: argparse.ArgumentParser) -> None:
    """Adds how captioned images are read."""
    verb.add_argument("--format", choices=FORMATS, help="format of the data; looked up by default")
    verb.add_argument("--root", metavar="DIR", help="folder that image paths are relative to")


def add_recipe(verb: argparse.ArgumentParser) -> None:
    """Adds how a training is configured."""
    verb.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="flickr8k (default), flickr30k, coco, scenes, or a TOML file",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the configuration, such as stages.align.epochs=5; repeatable",
    )
    add_source(verb)
    verb.add_argument(
        "--skip-bad", action="store_true", help="go on without images and captions that are broken"
    )
    verb.add_argument(
        "--cache", metavar="DIR", help="folder of backbone features, to share between runs"
    )
