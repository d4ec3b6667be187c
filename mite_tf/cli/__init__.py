"""The `mite` command: argument parsing only; every verb calls one public function."""

from mite_tf.cli.command import main, parse

__all__ = ["main", "parse"]
