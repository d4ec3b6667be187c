"""Judging embeddings: retrieval in both directions, modality invariance, reports."""

from mite_tf.evaluation.chance import chance_level
from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.evaluation import Evaluation, evaluate_embeddings
from mite_tf.evaluation.gaps import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.history_plot import plot_history
from mite_tf.evaluation.invariance import measure_invariance
from mite_tf.evaluation.near_miss_plot import plot_near_misses
from mite_tf.evaluation.near_misses import Confusion, near_miss_confusion
from mite_tf.evaluation.plots import plot_modalities, plot_recall, plot_similarities
from mite_tf.evaluation.probe import probe_accuracy, quick_probe_accuracy
from mite_tf.evaluation.protocols import PROTOCOLS
from mite_tf.evaluation.ranking import matching_ranks, matching_similarities
from mite_tf.evaluation.report import SearchExample, write_report
from mite_tf.evaluation.scores import DirectionScores, RetrievalScores, recall_at_k
from mite_tf.evaluation.table import print_table

__all__ = [
    "PROTOCOLS",
    "Confusion",
    "DirectionScores",
    "Embeddings",
    "Evaluation",
    "RetrievalScores",
    "SearchExample",
    "centroid_gap",
    "chance_level",
    "evaluate_embeddings",
    "matching_ranks",
    "matching_similarities",
    "measure_invariance",
    "mmd",
    "near_miss_confusion",
    "plot_history",
    "plot_modalities",
    "plot_near_misses",
    "plot_recall",
    "plot_similarities",
    "print_table",
    "probe_accuracy",
    "quick_probe_accuracy",
    "recall_at_k",
    "relative_modality_gap",
    "write_report",
]
