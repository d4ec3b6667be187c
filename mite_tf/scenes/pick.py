"""A random choice that keeps the type of what it chooses from."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Rng = np.random.Generator
T = TypeVar("T")


def pick(rng: Rng, items: Sequence[T]) -> T:
    """Returns one of `items`, each with the same chance.

    NumPy's `Generator.choice` would turn strings and tuples into arrays.
    """
    return items[int(rng.integers(len(items)))]
