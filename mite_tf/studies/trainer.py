"""The trainings of a study, each done once, and first stages once for all that share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from mite_tf.data import CheckReport, Unpaired
from mite_tf.progress import say
from mite_tf.runs import Config, Run, train
from mite_tf.runs.beginning import stages_in_common, trained_stages
from mite_tf.studies.study_folder import StudyFolder
from mite_tf.studies.variants import Variant


@dataclass(frozen=True)
class Trainer:
    """Trains variants of a configuration, and first stages that several share only once."""

    folder: StudyFolder
    base: Config
    data: CheckReport
    feature_cache: Path
    unpaired: Unpaired
    quiet: bool = False

    def is_done(self, variant: Variant, seed: int) -> bool:
        """Returns whether a variant has been trained with a seed."""
        run = self.folder.run(variant.name, seed)
        return run.finished and run.config == variant.of(self.base, seed)

    def train(self, variant: Variant, seed: int) -> None:
        """Trains a variant with a seed, from where it was stopped if it was."""
        config = variant.of(self.base, seed)
        run = self.folder.run(variant.name, seed)
        beginning = None
        if not run.path.exists():
            others = [other.of(self.base, seed) for other in self.folder.variants]
            beginning = self._beginning(shared_beginnings(config, others, self.base))
        self._train(run, config, beginning)

    def _beginning(self, configs: Sequence[Config]) -> Run | None:
        """Returns the run through the last of some beginnings, and trains it if it is missing."""
        if not configs:
            return None
        *shorter, config = configs
        run = self.folder.shared(config)
        if not run.finished:
            beginning = self._beginning(shorter)
            if not self.quiet:
                names = ", ".join(stage.name for stage in config.stages)
                say(f"What variants have in common: {names}")
            self._train(run, config, beginning)
        return run

    def _train(self, run: Run, config: Config, beginning: Run | None) -> None:
        keras.utils.clear_session()  # the last model may go, and names of layers start anew
        train(
            self.data,
            run.path,
            config=config,
            resume=True,
            feature_cache=self.feature_cache,
            unpaired_images=self.unpaired,
            beginning=beginning.path if beginning else None,
            quiet=self.quiet,
        )


def shared_beginnings(config: Config, others: Sequence[Config], base: Config) -> list[Config]:
    """Returns the trainings that a training begins with and others may begin with too.

    One ends where each of the others (other variants, with the same seed) parts from it, and one
    where the adversary of `base` comes in, since variants yet to be named are likely to part there.
    All have that adversary, which does nothing there, so that one beginning looks the same for all.
    The shortest comes first; each continues the one before it. Where a text backbone learns, it
    does so in each of them, since one at rest has no state to go on from.
    """
    stages = trained_stages(config)
    with_adversary = replace(base, training=config.training)
    counts = {stages_in_common(config, other) for other in (with_adversary, config, *others)}
    beginnings = [
        replace(config, stages=stages[:count]).with_adversary_of(base)
        for count in sorted(counts)
        if 0 < count < len(stages)
    ]
    return [each for each in beginnings if each.learns_texts == config.learns_texts]
