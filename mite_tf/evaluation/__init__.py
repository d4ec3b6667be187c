"""Judging embeddings: retrieval in both directions, modality invariance."""

from mite_tf.evaluation.differences import Difference
from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.evaluation import Evaluation, evaluate_embeddings
from mite_tf.evaluation.hubs import choose_hubs
from mite_tf.evaluation.invariance import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.probe import probe_accuracy, quick_probe_accuracy
from mite_tf.evaluation.ranking import (
    Confusion,
    MatchingRanks,
    matching_ranks,
    matching_similarities,
    near_miss_confusion,
)
from mite_tf.evaluation.scores import (
    DirectionScores,
    RetrievalScores,
    against_chance,
    chance_deviation,
    chance_level,
    reached_by_chance,
)

__all__ = [
    "Confusion",
    "Difference",
    "DirectionScores",
    "Embeddings",
    "Evaluation",
    "MatchingRanks",
    "RetrievalScores",
    "against_chance",
    "centroid_gap",
    "chance_deviation",
    "chance_level",
    "choose_hubs",
    "evaluate_embeddings",
    "matching_ranks",
    "matching_similarities",
    "mmd",
    "near_miss_confusion",
    "probe_accuracy",
    "quick_probe_accuracy",
    "reached_by_chance",
    "relative_modality_gap",
]
