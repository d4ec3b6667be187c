"""Losses: matching pairs above the others of a batch, and both modalities alike."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.losses"):
    from mite_tf.losses.adversarial import AdversarialLoss
    from mite_tf.losses.bidirectional_triplet import BidirectionalTriplet
    from mite_tf.losses.by_name import adversarial_loss, matching_loss
    from mite_tf.losses.diagnostics import active_hinges, similarity_gap
    from mite_tf.losses.infonce import InfoNCE
    from mite_tf.losses.matching import MatchingLoss
    from mite_tf.losses.maximum_mean_discrepancy import MaximumMeanDiscrepancy
    from mite_tf.losses.modality_classification import (
        EntropyMaximization,
        FlippedLabels,
        GradientReversal,
        ModalityClassification,
    )
    from mite_tf.losses.pooled_triplet import PooledTriplet
    from mite_tf.losses.siglip import SigLIP
    from mite_tf.losses.wasserstein import Wasserstein

__all__ = [
    "AdversarialLoss",
    "BidirectionalTriplet",
    "EntropyMaximization",
    "FlippedLabels",
    "GradientReversal",
    "InfoNCE",
    "MatchingLoss",
    "MaximumMeanDiscrepancy",
    "ModalityClassification",
    "PooledTriplet",
    "SigLIP",
    "Wasserstein",
    "active_hinges",
    "adversarial_loss",
    "matching_loss",
    "similarity_gap",
]
