"""The trainings of a study, each done once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from mite_tf.data import CheckReport
from mite_tf.progress import CONSOLE
from mite_tf.runs import Config, Run, train
from mite_tf.studies.beginnings import shared_beginnings
from mite_tf.studies.folder import StudyFolder
from mite_tf.studies.variants import Variant


class Trainer:
    """Trains variants, and what several of them begin with once for all.

    Args:
        folder: The study.
        base: The configuration that variants change.
        data: The data, checked.
        feature_cache: Folder of cached backbone features.
        quiet: Whether to print nothing.
    """

    def __init__(
        self,
        folder: StudyFolder,
        base: Config,
        data: CheckReport,
        *,
        feature_cache: Path,
        quiet: bool = False,
    ) -> None:
        self.folder = folder
        self.base = base
        self.data = data
        self.feature_cache = feature_cache
        self.quiet = quiet

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
        """Returns the run through the last of some beginnings, trained if it is not there."""
        if not configs:
            return None
        *shorter, config = configs
        run = self.folder.shared(config)
        if not run.finished:
            beginning = self._beginning(shorter)
            if not self.quiet:
                names = ", ".join(stage.name for stage in config.stages)
                CONSOLE.print(f"What variants have in common: {names}")
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
            beginning=beginning.path if beginning else None,
            quiet=self.quiet,
        )
