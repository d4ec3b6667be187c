"""The time that cases take which are compared."""

import time
from collections.abc import Callable, Mapping


def seconds_in_turn(
    cases: Mapping[str, Callable[[int], object]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Calls all cases in turn, so that a machine that slows down slows all of them.

    Each is given the number of the round, from 0; the first `warm_up` of these are not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(warm_up + rounds):
        for name, run in cases.items():
            start = time.perf_counter()
            run(number)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds
