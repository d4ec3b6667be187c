"""Judging embeddings: retrieval in both directions, modality invariance."""

from mite_tf.evaluation.chance import chance_level
from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.evaluation import Evaluation, evaluate_embeddings
from mite_tf.evaluation.gaps import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.invariance import measure_invariance
from mite_tf.evaluation.near_misses import Confusion, near_miss_confusion
from mite_tf.evaluation.probe import probe_accuracy, quick_probe_accuracy
from mite_tf.evaluation.protocols import PROTOCOLS
from mite_tf.evaluation.ranking import matching_ranks, matching_similarities
from mite_tf.evaluation.scores import DirectionScores, RetrievalScores, recall_at_k

__all__ = [
    "PROTOCOLS",
    "Confusion",
    "DirectionScores",
    "Embeddings",
    "Evaluation",
    "RetrievalScores",
    "centroid_gap",
    "chance_level",
    "evaluate_embeddings",
    "matching_ranks",
    "matching_similarities",
    "measure_invariance",
    "mmd",
    "near_miss_confusion",
    "probe_accuracy",
    "quick_probe_accuracy",
    "recall_at_k",
    "relative_modality_gap",
]
