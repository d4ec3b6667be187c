"""One comparison of two ways to compute the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.files import write_text


class Check(NamedTuple):
    """What was compared, how far apart it was, and how far it may be.

    Attributes:
        name: What was compared with Keras, or with what else.
        difference: Greatest absolute difference over all cases.
        tolerance: Greatest difference allowed.
    """

    name: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.difference <= self.tolerance


def print_checks(checks: Sequence[Check]) -> None:
    """Prints a table of checks."""
    table = Table("check", box=SIMPLE)
    for column in ("greatest difference", "allowed"):
        table.add_column(column, justify="right")
    for check in checks:
        table.add_row(check.name, f"{check.difference:.2g}", f"{check.tolerance:g}")
    Console().print(table)


def write_checks(path: str | Path, checks: Sequence[Check]) -> None:
    """Writes checks as JSON: difference and tolerance by name."""
    values = {
        check.name: {"difference": check.difference, "tolerance": check.tolerance}
        for check in checks
    }
    write_text(path, json.dumps(values, indent=2) + "\n")


def compare(name: str, found: Any, expected: Any, tolerance: float) -> Check:
    """Compares arrays.

    Returns:
        The check; arrays of different shapes are infinitely far apart.

    Example:
        >>> compare("halves", np.array([0.5, 0.25]), np.array([0.5, 0.5]), 0.1).passed
        False
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or not np.isfinite(found).all():
        return Check(name, float("inf"), tolerance)
    return Check(name, float(np.abs(found - expected).max(initial=0)), tolerance)


def compare_embeddings(
    name: str,
    embed: Callable[[Any], np.ndarray],
    inputs: Sequence[Any] | np.ndarray,
    expected: np.ndarray,
    tolerance: float,
) -> list[Check]:
    """Embeds all inputs in one batch, and one by one, and compares both with Keras.

    Args:
        name: What embeds.
        embed: From a batch to float32 `[N, D]`.
        inputs: The cases.
        expected: float32 `[N, D]`, of Keras.
        tolerance: Greatest difference allowed.
    """
    each = np.concatenate([embed(inputs[row : row + 1]) for row in range(len(inputs))])
    return [
        compare(f"{name}, one batch", embed(inputs), expected, tolerance),
        compare(f"{name}, one by one", each, expected, tolerance),
    ]
