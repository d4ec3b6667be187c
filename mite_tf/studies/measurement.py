"""What is measured of a training after each of its stages, and how variants differ in it."""

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
    Difference,
    Embeddings,
    MatchingRanks,
    chance_level,
    evaluate_embeddings,
    matching_ranks,
    near_miss_confusion,
    probe_accuracy,
)
from mite_tf.evaluation.differences import Interval, middle, queries_answered, resampled_recalls
from mite_tf.files import write_text, written_beside
from mite_tf.runs import Run, embed
from mite_tf.scenes import RuledOut

_DIRECTIONS = ("image_to_text", "text_to_image")
_RECALLS = tuple(f"{direction}_r{k}" for direction in _DIRECTIONS for k in (1, 5, 10))


@dataclass(frozen=True)
class Measurement:
    """What one variant, trained with one seed, reaches after one stage on one split.

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

    @property
    def values(self) -> dict[str, float]:
        """All measures, and the percentages of near misses as `near_miss_KIND`."""
        return self.measures | {f"near_miss_{k}": c.percent for k, c in self.near_misses.items()}

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
) -> None:
    """Measures a finished run after each stage that trained its encoders.

    Args:
        run: The run.
        table: The split to measure on.
        folder: Where measurements are kept; what is there already is not measured again.
        variant: Name of the variant that the run is of.
        pairs: Captions with near misses that they rule out.
        quiet: Whether to show no progress.
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
            measures=_scores(evaluation.to_dict())
            | evaluation.invariance
            | {"linear_probe_accuracy": linear},
            near_misses=near_miss_confusion(*embeddings, pairs),
            file=file,
        )
        values = {key: value for key, value in asdict(measurement).items() if key != "file"}
        write_text(file, json.dumps(values, indent=2, allow_nan=False) + "\n")


def chance_measures(caption_image: np.ndarray, images: int) -> dict[str, float]:
    """Returns the measures to expect of random order among a number of images."""
    scores = chance_level(images, caption_image).to_dict()
    return _scores(scores) | {"probe_accuracy": 0.5, "linear_probe_accuracy": 0.5}


def last_stages(measurements: Sequence[Measurement], stage: str | None) -> list[Measurement]:
    """Keeps the measurements after one stage, or after the last stage of each run if None."""
    last: dict[tuple[str, int], Measurement] = {}
    for each in measurements:
        key = (each.variant, each.seed)
        if stage in (None, each.stage) and (key not in last or each.epoch > last[key].epoch):
            last[key] = each
    return [each for each in measurements if last.get((each.variant, each.seed)) is each]


def by_variant(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Returns measurements by name of the variant, both in the order in which they came."""
    groups: dict[str, list[Measurement]] = {}
    for each in measurements:
        groups.setdefault(each.variant, []).append(each)
    return groups


def compare(
    measurements: Sequence[Measurement], variant: str, against: str
) -> dict[str, Difference]:
    """Subtracts one variant from another on every measure, over the seeds of both.

    There must be at most one measurement for each variant and seed. The result is empty if the
    two have no seed in common.
    """
    ours = {each.seed: each for each in measurements if each.variant == variant}
    theirs = {each.seed: each for each in measurements if each.variant == against}
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return {}
    queries = _over_queries([(ours[seed], theirs[seed]) for seed in seeds])
    return {
        measure: Difference.between(
            {seed: ours[seed].values[measure] for seed in seeds},
            {seed: theirs[seed].values[measure] for seed in seeds},
            queries.get(measure),
        )
        for measure in ours[seeds[0]].values
    }


def _over_queries(pairs: Sequence[tuple[Measurement, Measurement]]) -> dict[str, Interval]:
    caption_image = pairs[0][0].embeddings().caption_image
    answered = [
        queries_answered(ours.ranks(), caption_image)
        - queries_answered(theirs.ranks(), caption_image)
        for ours, theirs in pairs
    ]
    draws = resampled_recalls(answered, caption_image)
    columns = dict(zip(_RECALLS, draws.T, strict=True)) | {"rsum": draws.sum(axis=1)}
    return {name: middle(column) for name, column in columns.items()}


def _scores(scores: dict[str, Any]) -> dict[str, float]:
    found = {
        f"{direction}_{score}": scores[direction][score]
        for direction in _DIRECTIONS
        for score in ("r1", "r5", "r10", "median_rank")
    }
    return found | {"rsum": scores["rsum"]}
