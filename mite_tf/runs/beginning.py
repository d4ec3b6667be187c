"""Trainings that begin alike, so that what they share need be trained only once."""

from __future__ import annotations

from dataclasses import replace

from mite_tf.errors import MiteError
from mite_tf.runs.config import Config
from mite_tf.runs.folder import RunFolder
from mite_tf.training import Stage


def stages_in_common(one: Config, other: Config) -> int:
    """Counts the first stages that two trainings go through with the same encoders, to the bit.

    These are the stages that are the same in both and have no adversary, provided that data
    settings, encoders, matching loss and seed are the same too. What the adversary is to be
    later, discriminator and adversarial loss, may differ.

    Args:
        one: A configuration.
        other: Another one.

    Returns:
        The number of stages, not counting those of no epochs.

    Example:
        >>> game = Stage(name="game", epochs=2, discriminator_steps=1, adversarial_weight=0.1)
        >>> config = Config(stages=(Stage(name="align", epochs=4), game))
        >>> stages_in_common(config, config.without_adversary())
        1
    """
    if _without_adversary_and_stages(one) != _without_adversary_and_stages(other):
        return 0
    count = 0
    for a, b in zip(trained_stages(one), trained_stages(other), strict=False):
        if a != b or a.discriminator_steps or a.is_adversarial:
            break
        count += 1
    return count


def trained_stages(config: Config) -> tuple[Stage, ...]:
    """Returns the stages of a configuration that have any epochs."""
    return tuple(stage for stage in config.stages if stage.epochs)


def check_beginning(config: Config, fingerprint: str, beginning: RunFolder) -> None:
    """Refuses a run that a training cannot begin from.

    Args:
        config: Configuration of the training.
        fingerprint: That of its data.
        beginning: The run to begin from.

    Raises:
        MiteError: If that run has not gone through all of its stages, was trained on other data,
            or its stages are not the first ones of the training.
    """
    if not beginning.finished or beginning.ended_early:
        raise MiteError(f"{beginning.path}: is not finished, so nothing can begin from its end.")
    if beginning.info["data"]["fingerprint"] != fingerprint:
        raise MiteError(
            f"{beginning.path}: was trained on other data, so this training cannot begin from it."
        )
    common = stages_in_common(config, beginning.config)
    if common < len(trained_stages(beginning.config)):
        raise MiteError(
            f"{beginning.path}: its stages, under its settings, are not the first ones of this "
            f"training, without adversary. They have {common} in common."
        )


def _without_adversary_and_stages(config: Config) -> Config:
    return replace(config, stages=()).with_adversary_of(Config(stages=()))
