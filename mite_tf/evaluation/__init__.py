"""Judging embeddings: retrieval in both directions, modality invariance."""

from mite_tf.evaluation.differences import Difference
from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.evaluation import Evaluation, evaluate_embeddings
from mite_tf.evaluation.galleries import everything_gallery, recall
from mite_tf.evaluation.hubs import choose_hubs
from mite_tf.evaluation.invariance import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.label_transfer import frequent_nouns, named, transfer
from mite_tf.evaluation.mixed import mixed_gallery, sag
from mite_tf.evaluation.neighbours import grouping, stability
from mite_tf.evaluation.probe import probe_accuracy, quick_probe_accuracy
from mite_tf.evaluation.protocols import (
    PROTOCOLS,
    ProtocolName,
    ProtocolScores,
    measure_protocols,
)
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
from mite_tf.evaluation.scorings import SCORING_NAMES, Scored, Scoring, scorings

__all__ = [
    "PROTOCOLS",
    "SCORING_NAMES",
    "Confusion",
    "Difference",
    "DirectionScores",
    "Embeddings",
    "Evaluation",
    "MatchingRanks",
    "ProtocolName",
    "ProtocolScores",
    "RetrievalScores",
    "Scored",
    "Scoring",
    "against_chance",
    "centroid_gap",
    "chance_deviation",
    "chance_level",
    "choose_hubs",
    "evaluate_embeddings",
    "everything_gallery",
    "frequent_nouns",
    "grouping",
    "matching_ranks",
    "matching_similarities",
    "measure_protocols",
    "mixed_gallery",
    "mmd",
    "named",
    "near_miss_confusion",
    "probe_accuracy",
    "quick_probe_accuracy",
    "reached_by_chance",
    "recall",
    "relative_modality_gap",
    "sag",
    "scorings",
    "stability",
    "transfer",
]
