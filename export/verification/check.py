"""One comparison of two ways to compute the same, or one thing that a server must do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mite_tf.errors import printable
from mite_tf.files import write_text


class Check(NamedTuple):
    """What was checked, how far it was from what it should be, and how far it may be.

    The difference is the greatest over all cases. Where there is nothing to measure, it is 0 if all
    is well and infinity if not, and `detail` says what was found.

    Example:
        >>> print(Check("ONNX, text", 2e-7, 1e-4))
        ok     ONNX, text: 2e-07, at most 0.0001 is allowed
    """

    name: str
    difference: float
    tolerance: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        numbers = f"{self.difference:.3g}, at most {self.tolerance:g} is allowed"
        return f"{'ok    ' if self.passed else 'failed'} {self.name}: {self.detail or numbers}"


def print_checks(checks: Sequence[Check]) -> None:
    """Prints a line for each check, and the number of those that failed."""
    for check in checks:
        print(printable(check))
    failed = sum(not check.passed for check in checks)
    print(f"{failed} failed" if failed else "all ok")


def write_checks(path: str | Path, checks: Sequence[Check]) -> None:
    """Writes checks as JSON, by name: difference and tolerance, or what was found."""
    values: dict[str, dict[str, Any]] = {}
    for check in checks:
        if check.detail:
            values[check.name] = {"passed": check.passed, "detail": check.detail}
        else:
            difference = check.difference if math.isfinite(check.difference) else None
            values[check.name] = {"difference": difference, "tolerance": check.tolerance}
    write_text(path, json.dumps(values, indent=2) + "\n")


def compare(name: str, found: Any, expected: Any, tolerance: float) -> Check:
    """Compares arrays; those of different shapes are infinitely far apart.

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
    """Embeds all inputs in one batch, and one by one, and compares both with Keras."""
    each = np.concatenate([embed(inputs[row : row + 1]) for row in range(len(inputs))])
    return [
        compare(f"{name}, one batch", embed(inputs), expected, tolerance),
        compare(f"{name}, one by one", each, expected, tolerance),
    ]
