"""First stages that variants of a study have in common, trained once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mite_tf.runs.beginning import stages_in_common, trained_stages
from mite_tf.runs.config import Config


def shared_beginnings(config: Config, others: Sequence[Config], base: Config) -> list[Config]:
    """Returns the trainings that a training begins with and others may begin with too.

    There is one that ends where each of the others parts from it, and one that ends where the
    adversary of `base` comes in, where variants yet to be named are likely to part.

    Args:
        config: Configuration of the training.
        others: Configurations of the other variants, with the same seed.
        base: The configuration that all of them change. The adversary of the beginnings is
            its, so that the same beginning looks the same for each; it does nothing there.

    Returns:
        Configurations of trainings through the first stages, the shortest first. Each begins
        as the one before it.

    Example:
        >>> from mite_tf.training import Stage
        >>> game = Stage(name="game", epochs=2, discriminator_steps=1, adversarial_weight=0.1)
        >>> mite = Config(stages=(Stage(name="align", epochs=4), game))
        >>> [beginning] = shared_beginnings(mite, [mite.without_adversary()], mite)
        >>> [stage.name for stage in beginning.stages]
        ['align']
    """
    stages = trained_stages(config)
    with_adversary = replace(base, training=config.training)
    counts = {stages_in_common(config, other) for other in (with_adversary, config, *others)}
    return [
        replace(config, stages=stages[:count]).with_adversary_of(base)
        for count in sorted(counts)
        if 0 < count < len(stages)
    ]
