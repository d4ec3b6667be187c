"""The `mite` command: argument parsing only; every verb calls one public function."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status, see `mite_tf.cli.command`."""
    try:  # an import takes long enough to be interrupted
        from mite_tf.cli.command import run
    except KeyboardInterrupt:
        print("mite: stopped.", file=sys.stderr)
        return 130
    return run(arguments)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line; `options.call(options)` runs it."""
    from mite_tf.cli.command import parse

    return parse(arguments)


__all__ = ["main", "parse"]
