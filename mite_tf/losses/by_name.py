"""Losses by the names that configuration files use."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from mite_tf.losses.adversarial import AdversarialLoss
from mite_tf.losses.bidirectional_triplet import BidirectionalTriplet
from mite_tf.losses.infonce import InfoNCE
from mite_tf.losses.matching import MatchingLoss
from mite_tf.losses.maximum_mean_discrepancy import MaximumMeanDiscrepancy
from mite_tf.losses.modality_classification import (
    EntropyMaximization,
    FlippedLabels,
    GradientReversal,
)
from mite_tf.losses.pooled_triplet import PooledTriplet
from mite_tf.losses.siglip import SigLIP
from mite_tf.losses.wasserstein import Wasserstein

_Loss = TypeVar("_Loss")

MATCHING: Mapping[str, type[MatchingLoss]] = {
    "triplet": BidirectionalTriplet,
    "pooled-triplet": PooledTriplet,
    "infonce": InfoNCE,
    "siglip": SigLIP,
}
ADVERSARIAL: Mapping[str, type[AdversarialLoss]] = {
    "flipped-labels": FlippedLabels,
    "gradient-reversal": GradientReversal,
    "entropy-maximization": EntropyMaximization,
    "wasserstein": Wasserstein,
    "mmd": MaximumMeanDiscrepancy,
}


def matching_loss(name: str, **arguments: Any) -> MatchingLoss:
    """Builds a matching loss from its name in configuration files.

    Args:
        name: `"triplet"`, `"pooled-triplet"`, `"infonce"` or `"siglip"`.
        **arguments: Arguments of that class.

    Raises:
        ValueError: If there is no such loss, or it cannot use an argument.

    Example:
        >>> matching_loss("triplet", margin=0.1).margin
        0.1
    """
    return _build(MATCHING, name, arguments)


def adversarial_loss(name: str, **arguments: Any) -> AdversarialLoss:
    """Builds an adversarial loss from its name in configuration files.

    Args:
        name: `"flipped-labels"`, `"gradient-reversal"`, `"entropy-maximization"`,
            `"wasserstein"` or `"mmd"`.
        **arguments: Arguments of that class.

    Raises:
        ValueError: If there is no such loss, or it cannot use an argument.

    Example:
        >>> adversarial_loss("mmd").uses_discriminator
        False
    """
    return _build(ADVERSARIAL, name, arguments)


def _build(known: Mapping[str, type[_Loss]], name: str, arguments: dict[str, Any]) -> _Loss:
    if name not in known:
        raise ValueError(f"Unknown loss {name!r}. Known: {', '.join(known)}")
    parameters = inspect.signature(known[name]).parameters
    for argument in arguments:
        if argument not in parameters:
            raise ValueError(
                f"Loss {name!r} has no argument {argument!r}. Known: {', '.join(parameters)}"
            )
    return known[name](**arguments)
