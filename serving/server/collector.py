"""Python's garbage collector in a process that serves."""

from __future__ import annotations

import gc

# New objects before a round over them; Python's own number is a few requests' worth.
_NEW_OBJECTS = 10_000


def spare_what_is_loaded() -> None:
    """Frees what is not used any more, and leaves the rest out of later rounds of the collector.

    A round over all objects of TensorFlow takes a quarter of a second, in which nobody is
    answered, and finds nothing. It is for a process that does nothing but serve, whenever what is
    loaded has changed.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    gc.unfreeze()
    gc.collect()
    gc.freeze()
