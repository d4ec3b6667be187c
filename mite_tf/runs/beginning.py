"""Which run a training can begin from: one of the same first stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mite_tf.errors import MiteError
from mite_tf.runs.config import Config
from mite_tf.runs.data import fingerprints
from mite_tf.runs.folder import RunFolder
from mite_tf.training import Stage


def stages_in_common(one: Config, other: Config) -> int:
    """Counts the first stages that two trainings go through with the same encoders, to the bit.

    These are the stages, not counting those of no epochs, that are the same in both and have no
    adversary, provided that all other settings are the same too, except those of the adversary
    that is to come: discriminator, adversarial loss, and whether it sees what is unpaired.

    Example:
        >>> game = Stage(name="game", epochs=2, discriminator_steps=1, adversarial_weight=0.1)
        >>> config = Config(stages=(Stage(name="align", epochs=4), game))
        >>> stages_in_common(config, config.without_adversary())
        1
    """
    plain = Config(stages=())
    settings = [replace(each, stages=()).with_adversary_of(plain) for each in (one, other)]
    if settings[0] != settings[1]:
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


def check_beginning(config: Config, data: Mapping[str, Any], beginning: RunFolder) -> None:
    """Refuses a run that a training cannot begin from, given its entry `data` of `run.json`.

    Raises:
        MiteError: If so.
    """
    theirs = beginning.info["data"]  # raises where there is no run
    if not beginning.finished or beginning.ended_early:
        raise MiteError(f"{beginning.path}: is not finished, so nothing can begin from its end.")
    if fingerprints(theirs) != fingerprints(data):
        raise MiteError(
            f"{beginning.path}: was trained on other data, so this training cannot begin from it."
        )
    common = stages_in_common(config, beginning.config)
    if common < len(trained_stages(beginning.config)):
        raise MiteError(
            f"{beginning.path}: its stages, under its settings, are not the first ones of this "
            f"training, without adversary. They have {common} in common."
        )
    if config.learns_texts != beginning.config.learns_texts:
        raise MiteError(
            f"{beginning.path}: its text backbone rests, and that of this training learns in a "
            "later stage, so its state does not fit. Begin from a run through that stage."
        )
