"""The constants of hub correction, chosen on pairs that its bank does not hold."""

from __future__ import annotations

from itertools import product

import numpy as np

from mite_tf.evaluation.embeddings import Embeddings, unit_embeddings
from mite_tf.evaluation.ranking import ranks_by_bias
from mite_tf.evaluation.scores import DirectionScores, RetrievalScores
from mite_tf.retrieval import HubCorrection

_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_NEIGHBOURS = (5, 10, 20, 50)
# Points of RSUM below which a choice is one of chance: on Flickr8k, drawn five times, the best of
# 500 images of train lost 0.6 on dev against constants that stay where they are.
_WORTH = 1.0


def choose_hubs(hubs: HubCorrection, held_out: Embeddings) -> HubCorrection:
    """Replaces weight and neighbours by those that give the highest RSUM on held-out pairs.

    They stay as they are if none of twenty candidates gains a point of RSUM over them.

    Args:
        hubs: The correction.
        held_out: Images and captions of train that are not in its bank. They were trained on, so
            that their recall says nothing; what helps them helps others as well.

    Raises:
        MiteError: If the dimension differs from the bank's, or a value is not finite.

    Example:
        Pairs that find each other anyway give no reason to change anything.

        >>> hubs = HubCorrection(np.eye(3), np.eye(3), weight=0.5, neighbours=10)
        >>> choose_hubs(hubs, Embeddings(np.eye(3), np.eye(3), np.arange(3))).weight
        0.5
    """
    embeddings = unit_embeddings(*held_out)
    most = max(*_NEIGHBOURS, hubs.neighbours)
    near = (
        hubs.nearest(embeddings.images, queries="caption", neighbours=most),
        hubs.nearest(embeddings.captions, queries="image", neighbours=most),
    )
    candidates = [(hubs.weight, hubs.neighbours), *product(_WEIGHTS, _NEIGHBOURS)]
    biases = []
    for weight, neighbours in candidates:
        means = [each[:, :neighbours].mean(axis=1, dtype=np.float64) for each in near]
        images, captions = ((weight * each).astype(np.float32) for each in means)
        biases.append((images, captions))
    ranks = ranks_by_bias(embeddings, biases)
    sums = [RetrievalScores(*map(DirectionScores.of_ranks, each)).rsum for each in ranks]
    best = int(np.argmax(sums))
    if sums[best] - sums[0] < _WORTH:
        return hubs
    weight, neighbours = candidates[best]
    return HubCorrection(
        hubs.images.astype(np.float16),
        hubs.captions.astype(np.float16),
        weight=weight,
        neighbours=neighbours,
        space=hubs.space,
    )
