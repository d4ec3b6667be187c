"""The command line as a whole: its verbs, its help, its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mite_tf._version import __version__
from mite_tf.cli import (
    backbone,
    data,
    demo,
    evaluate,
    export,
    loadtest,
    search,
    serve,
    study,
    train,
    verify,
)
from mite_tf.errors import MiteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; returns 0, 1 if a server failed a check, 2 for unusable input."""
    options = parse(arguments)
    try:
        return int(options.call(options) or 0)
    except MiteError as error:
        print(f"mite: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"mite: stopped.{getattr(options, 'stopped', '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line; `options.call(options)` runs it."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes an optional positional for absent when options stand before it.
    if len(rest) == 1 and getattr(options, "query", "") is None and not rest[0].startswith("-"):
        options.query = rest.pop()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mite",
        description="Match images and captions: train, measure and search with your own data.",
        epilog="examples:\n"
        "  mite demo --out demo                        everything, on rendered scenes\n"
        "  mite data check photos                      what is in the folder, and what is wrong\n"
        "  mite backbone MobileNetV2 --out mobilenet.keras\n"
        "  mite train photos --config flickr8k --run runs/first\n"
        "  mite evaluate runs/first --data photos --split test\n"
        '  mite search runs/first --data photos "a dog leaps into the water"\n'
        "  mite study photos --variants baseline,mite --seeds 5 --out studies/first\n"
        "  mite export runs/first --out exports/first  SavedModel and ONNX, verified\n"
        "  mite serve exports/first                    a server for one machine\n"
        "  mite loadtest localhost:8500 --clients 32   throughput and latency of a server\n"
        "\n`mite VERB --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mite {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in (
        data,
        backbone,
        train,
        evaluate,
        search,
        study,
        export,
        verify,
        serve,
        loadtest,
        demo,
    ):
        verb.add(verbs)
    return parser
