"""What is measured of one training after one of its stages, kept in two files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages
from mite_tf.evaluation import (
    Confusion,
    Embeddings,
    Evaluation,
    chance_level,
    evaluate_embeddings,
    matching_ranks,
    near_miss_confusion,
    probe_accuracy,
)
from mite_tf.evaluation.ranking import MatchingRanks
from mite_tf.files import write_text, written_beside
from mite_tf.runs import Run, embed
from mite_tf.scenes import RuledOut

RECALLS = tuple(
    f"{direction}_r{k}" for direction in ("image_to_text", "text_to_image") for k in (1, 5, 10)
)


@dataclass(frozen=True)
class Measurement:
    """One variant, trained with one seed, after one stage, on one split.

    Args:
        variant: Name of the variant.
        seed: Seed of the training.
        stage: Name of the stage whose best encoders were measured.
        epoch: Epoch of these encoders, counted over all stages from 1.
        images: Number of images of the split.
        captions: Number of captions of the split.
        measures: Values by name: recalls in percent and median ranks in both directions,
            `rsum`, and the measures of invariance, `linear_probe_accuracy` among them.
        near_misses: For rendered scenes: confusion by kind.
        file: Where it is kept, beside the embeddings and ranks.
    """

    variant: str
    seed: int
    stage: str
    epoch: int
    images: int
    captions: int
    measures: dict[str, float]
    near_misses: dict[str, Confusion]
    file: Path

    @classmethod
    def load(cls, file: Path) -> Measurement:
        """Reads what `measure` wrote."""
        values = json.loads(file.read_text(encoding="utf-8"))
        values["near_misses"] = {k: Confusion(*v) for k, v in values["near_misses"].items()}
        return cls(**values, file=file)

    def embeddings(self) -> Embeddings:
        """Returns the embeddings that were measured."""
        with np.load(self.file.with_suffix(".npz")) as arrays:
            return Embeddings(arrays["images"], arrays["captions"], arrays["caption_image"])

    def ranks(self) -> MatchingRanks:
        """Returns the ranks of the right answers among the whole split."""
        with np.load(self.file.with_suffix(".npz")) as arrays:
            return MatchingRanks(arrays["image_to_text"], arrays["text_to_image"])


def measure(
    run: Run,
    table: CaptionedImages,
    folder: Path,
    *,
    variant: str,
    pairs: Sequence[RuledOut] = (),
    quiet: bool = False,
) -> list[Measurement]:
    """Measures a finished run after each stage that trained its encoders.

    Args:
        run: The run.
        table: The split to measure on.
        folder: Where results are kept; what is there already is not measured again.
        variant: Name of the variant that the run is of.
        pairs: Captions with near misses that they rule out.
        quiet: Whether to show no progress.

    Returns:
        A measurement for each stage, in order of training.
    """
    best = run.best_folders()
    stages = [s.name for s in run.config.stages if s.trains_encoders and s.name in best]
    for stage in stages:
        file = folder / f"{stage}.json"
        if file.exists():
            continue
        embeddings = embed(run.path, table, stage=stage, quiet=quiet)
        arrays: dict[str, Any] = embeddings._asdict() | matching_ranks(*embeddings)._asdict()
        with written_beside(file.with_suffix(".npz"), "wb") as opened:
            np.savez(opened, **arrays)
        evaluation = evaluate_embeddings(*embeddings)
        linear = probe_accuracy(*embeddings, hidden=None)
        measurement = Measurement(
            variant=variant,
            seed=run.config.training.seed,
            stage=stage,
            epoch=int(best[stage].name.partition("-")[0]),
            images=len(embeddings.images),
            captions=len(embeddings.captions),
            measures=_by_name(evaluation) | {"linear_probe_accuracy": linear},
            near_misses=near_miss_confusion(*embeddings, pairs),
            file=file,
        )
        values = {key: value for key, value in asdict(measurement).items() if key != "file"}
        write_text(file, json.dumps(values, indent=2, allow_nan=False) + "\n")
    return [Measurement.load(folder / f"{stage}.json") for stage in stages]


def chance_measures(caption_image: np.ndarray, images: int) -> dict[str, float]:
    """Returns the measures to expect of random order among a number of images."""
    scores = chance_level(images, caption_image).to_dict()
    return _scores(scores) | {"probe_accuracy": 0.5, "linear_probe_accuracy": 0.5}


def _by_name(evaluation: Evaluation) -> dict[str, float]:
    return _scores(evaluation.to_dict()) | evaluation.invariance


def _scores(scores: dict[str, Any]) -> dict[str, float]:
    found = {
        f"{direction}_{score}": scores[direction][score]
        for direction in ("image_to_text", "text_to_image")
        for score in ("r1", "r5", "r10", "median_rank")
    }
    return found | {"rsum": scores["rsum"]}
