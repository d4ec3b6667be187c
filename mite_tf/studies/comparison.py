"""Differences between variants that were trained with the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mite_tf.studies.measurement import RECALLS, Measurement
from mite_tf.studies.statistics import (
    Interval,
    bootstrap_interval,
    middle,
    queries_answered,
    resampled_recalls,
    t_interval,
)


@dataclass(frozen=True)
class Comparison:
    """A measure of one variant minus that of another one, seed by seed.

    Args:
        variant: Name of the variant.
        against: Name of the other one.
        measure: Name of the measure, or `near_miss_KIND` for the percentage of that kind.
        differences: By seed.
        student: Student's interval over seeds; None for a single seed.
        over_seeds: Bootstrap interval over seeds; None for a single seed.
        over_queries: Bootstrap interval over queries and seeds; None for what is no recall.
    """

    variant: str
    against: str
    measure: str
    differences: dict[int, float]
    student: Interval | None
    over_seeds: Interval | None
    over_queries: Interval | None

    @property
    def mean(self) -> float:
        """Mean difference."""
        return float(np.mean(list(self.differences.values())))


def last_stages(measurements: Sequence[Measurement], stage: str | None) -> list[Measurement]:
    """Keeps the measurements after one stage.

    Args:
        measurements: Measurements of any stages.
        stage: Name of the stage; the last of each run if None.

    Returns:
        At most one measurement for each variant and seed, in the order in which they came.
    """
    last: dict[tuple[str, int], Measurement] = {}
    for each in measurements:
        key = (each.variant, each.seed)
        if stage in (None, each.stage) and (key not in last or each.epoch > last[key].epoch):
            last[key] = each
    return [each for each in measurements if last.get((each.variant, each.seed)) is each]


def by_variant(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Returns measurements by name of the variant, both in the order in which they came."""
    groups: dict[str, list[Measurement]] = {}
    for each in measurements:
        groups.setdefault(each.variant, []).append(each)
    return groups


def compare(
    measurements: Sequence[Measurement], variant: str, against: str
) -> dict[str, Comparison]:
    """Compares two variants on every measure and kind of near miss, over the seeds of both.

    Args:
        measurements: At most one for each variant and seed.
        variant: Name of a variant.
        against: Name of the variant to subtract.

    Returns:
        Comparisons by measure; none if the two have no seed in common.
    """
    ours = {each.seed: each for each in measurements if each.variant == variant}
    theirs = {each.seed: each for each in measurements if each.variant == against}
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return {}
    queries = _over_queries([(ours[seed], theirs[seed]) for seed in seeds])
    our_values = {seed: _values(ours[seed]) for seed in seeds}
    their_values = {seed: _values(theirs[seed]) for seed in seeds}
    found = {}
    for name in our_values[seeds[0]]:
        differences = {s: our_values[s][name] - their_values[s][name] for s in seeds}
        values = list(differences.values())
        found[name] = Comparison(
            variant,
            against,
            name,
            differences,
            t_interval(values),
            bootstrap_interval(values),
            queries.get(name),
        )
    return found


def _values(each: Measurement) -> dict[str, float]:
    near_misses = {f"near_miss_{kind}": found.percent for kind, found in each.near_misses.items()}
    return each.measures | near_misses


def _over_queries(pairs: Sequence[tuple[Measurement, Measurement]]) -> dict[str, Interval]:
    caption_image = pairs[0][0].embeddings().caption_image
    answered = [
        queries_answered(ours.ranks(), caption_image)
        - queries_answered(theirs.ranks(), caption_image)
        for ours, theirs in pairs
    ]
    draws = resampled_recalls(answered, caption_image)
    columns = dict(zip(RECALLS, draws.T, strict=True)) | {"rsum": draws.sum(axis=1)}
    return {name: middle(column) for name, column in columns.items()}
