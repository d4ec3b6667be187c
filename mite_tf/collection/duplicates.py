"""Rows of a collection that are nearly the same, in groups, across both modalities."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.progress import progress
from mite_tf.retrieval.collection_index import CollectionIndex, Found
from mite_tf.retrieval.embedding_files import EmbeddedRows
from mite_tf.retrieval.index_interface import Wanted, wanted

_AT_ONCE = 256
# Neighbours of a row that are looked at; four times as many, of one that has so many that are near.
_FIRST, _MOST = 8, 2048
_ROUNDING = 1e-6


def duplicates(
    index: CollectionIndex,
    *,
    threshold: float = 0.95,
    modality: Wanted = "both",
    quiet: bool = False,
) -> list[list[Found]]:
    """Returns groups of rows that are near to one another.

    A row is of a group if its cosine with one row of the group is at least the threshold. An index
    that searches flat finds all of them, another one nearly all.

    Args:
        index: The collection.
        threshold: Least cosine, above 0 to 1.
        modality: Whether to compare pictures, texts, or both.
        quiet: Whether to show no progress.

    Returns:
        The largest groups first; score and cosine of each row are those with its nearest other.

    Raises:
        MiteError: If the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise MiteError(f"threshold must be above 0 and at most 1; received {threshold}.")
    members: dict[str, Found] = {}
    parents: dict[str, str] = {}

    def first_of(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            parents[name] = parents[parent]
            name = parent
        return name

    with progress("Comparing", "rows", quiet=quiet) as report:
        done = 0
        for rows in index.rows(_AT_ONCE):
            for one, other in _near(index, rows, threshold - _ROUNDING, modality):
                parents[first_of(one.id)] = first_of(other.id)
                for each in (one, other):
                    if each.id not in members or members[each.id].cosine < each.cosine:
                        members[each.id] = each
            done += len(rows.ids)
            report(done, len(index))
    groups = defaultdict(list)
    for name, member in members.items():
        groups[first_of(name)].append(member)
    return sorted(
        (sorted(group, key=lambda each: -each.cosine) for group in groups.values()),
        key=lambda group: -len(group),
    )


def _near(
    index: CollectionIndex, rows: EmbeddedRows, least: float, modality: Wanted
) -> list[tuple[Found, Found]]:
    """Returns each pair of a row and another that is as near as that; both with their cosine."""
    modalities, pairs, k = wanted(modality), [], _FIRST
    pending = [row for row, each in enumerate(rows.modalities) if each in modalities]
    while pending and k <= _MOST:
        vectors = np.asarray(rows.vectors)[pending]
        found = index.search(vectors, by="image", k=k, modality=modality, hub_correction=False)
        full = []
        for row, hits in zip(pending, found, strict=True):
            near = [hit for hit in hits if hit.cosine >= least]
            if len(near) == k:
                full.append(row)
            own = (rows.ids[row], rows.modalities[row], rows.paths[row], rows.texts[row])
            pairs += [
                (Found(*own, hit.cosine, hit.cosine), hit) for hit in near if hit.id != own[0]
            ]
        pending, k = full, 4 * k
    return pairs
