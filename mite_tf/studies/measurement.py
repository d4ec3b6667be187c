"""What is measured of a training after each of its stages, and how variants differ in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from mite_tf.data import CaptionedImages
from mite_tf.evaluation import (
    Confusion,
    Difference,
    Embeddings,
    MatchingRanks,
    ProtocolScores,
    chance_deviation,
    chance_level,
    evaluate_embeddings,
    matching_ranks,
    near_miss_confusion,
    probe_accuracy,
)
from mite_tf.evaluation.differences import Interval, middle, queries_answered, resampled_recalls
from mite_tf.files import write_text, written_beside
from mite_tf.progress import say
from mite_tf.reading import open_arrays, read_object, reading
from mite_tf.runs import Run, embed
from mite_tf.runs.evaluate import protocol_scores
from mite_tf.scenes import RuledOut

_DIRECTIONS = ("image_to_text", "text_to_image")
_RECALLS = tuple(f"{direction}_r{k}" for direction in _DIRECTIONS for k in (1, 5, 10))


@dataclass(frozen=True)
class Measurement:
    """What one variant, trained with one seed, reaches after one stage on one split.

    The best encoders of the stage were measured, those of `epoch`, counted over all stages from 1.
    `measures` are recalls in percent and median ranks in both directions, `rsum`, and the measures
    of invariance, `linear_probe_accuracy` among them; those that a small split does not allow
    are in `left_out`, each with the reason. `near_misses`, of rendered scenes, are by kind.
    `protocols` are galleries of both modalities and so on, by name, of the stage that was compared.
    Embeddings and ranks lie beside `file`.
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
    left_out: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, ProtocolScores] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Measurement:
        """Reads what `measure` wrote.

        Raises:
            MiteError: If the file is damaged.
        """
        what, advice = "a measurement", "Delete it and run the study again, which measures anew."
        values = read_object(file, what, advice)
        with reading(file, what, advice):
            found = TypeAdapter(cls).validate_python({**values, "file": Path()})
        return replace(found, file=file)  # whose name need not be UTF-8

    @property
    def values(self) -> dict[str, float]:
        """All measures, and the percentages of near misses as `near_miss_KIND`."""
        return self.measures | {f"near_miss_{k}": c.percent for k, c in self.near_misses.items()}

    def value(self, protocol: str, scoring: str, measure: str) -> float | None:
        """Returns what a protocol measured under a scoring; None if it was not measured."""
        scores = self.protocols[protocol].scores if protocol in self.protocols else {}
        return scores.get(scoring, {}).get(measure)

    def write(self) -> None:
        """Writes all but embeddings and ranks."""
        values = {key: value for key, value in asdict(self).items() if key != "file"}
        write_text(self.file, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def embeddings(self) -> Embeddings:
        """Returns the embeddings that were measured."""
        return Embeddings(*self._arrays("images", "captions", "caption_image"))

    def ranks(self) -> MatchingRanks:
        """Returns the ranks of the right answers among the whole split."""
        return MatchingRanks(*self._arrays("image_to_text", "text_to_image"))

    def _arrays(self, *names: str) -> list[np.ndarray]:
        path = self.file.with_suffix(".npz")
        advice = f"Delete {self.file} and run the study again, which measures anew."
        with (
            reading(path, "readable embeddings", advice),
            path.open("rb") as file,
            open_arrays(file) as arrays,
        ):
            return [arrays[name] for name in names]


def measure(
    run: Run,
    table: CaptionedImages,
    folder: Path,
    *,
    variant: str,
    pairs: Sequence[RuledOut] = (),
    feature_cache: str | Path | None = None,
    quiet: bool = False,
) -> None:
    """Measures a finished run on a split after each stage that trained its encoders.

    What is in the folder already is not measured again. Pairs are captions with near misses that
    they rule out, `feature_cache` is that of `embed`.
    """
    best = run.best_folders()
    stages = [s.name for s in run.config.stages if s.trains_encoders and s.name in best]
    for stage in stages:
        file = folder / f"{stage}.json"
        if file.exists():
            continue
        embeddings = embed(run.path, table, stage=stage, feature_cache=feature_cache, quiet=quiet)
        ranks = matching_ranks(*embeddings)
        arrays: dict[str, Any] = embeddings._asdict() | ranks._asdict()
        with written_beside(file.with_suffix(".npz"), "wb") as opened:
            np.savez(opened, **arrays)
        evaluated = evaluate_embeddings(*embeddings)
        linear = {}
        if "probe_accuracy" in evaluated.invariance:  # both probes need as many images
            linear["linear_probe_accuracy"] = probe_accuracy(*embeddings, hidden=None)
        measurement = Measurement(
            variant=variant,
            seed=run.config.training.seed,
            stage=stage,
            epoch=int(best[stage].name.partition("-")[0]),
            images=len(embeddings.images),
            captions=len(embeddings.captions),
            measures=_scores(evaluated.to_dict()) | evaluated.invariance | linear,
            near_misses=near_miss_confusion(*embeddings, pairs),
            file=file,
            left_out=evaluated.left_out,
        )
        measurement.write()


def measure_protocols_of(
    run: Run,
    whole: CaptionedImages,
    table: CaptionedImages,
    folder: Path,
    *,
    stage: str | None = None,
    quiet: bool = False,
) -> None:
    """Adds the protocols beyond recall to what `measure` wrote, where they are not there yet.

    It takes about a minute for 1,000 images with 5,000 captions, so only one stage is measured.

    Args:
        run: The run.
        whole: All of the data, train included.
        table: The split that was measured.
        folder: Where `measure` wrote.
        stage: The stage; the last one that was measured by default. One without a measurement,
            as of a variant that has no such stage, is left alone.
        quiet: Whether to print nothing.
    """
    measured = [Measurement.load(file) for file in folder.glob("*.json")]
    chosen = [each for each in measured if stage in (None, each.stage)]
    if not chosen:
        return
    last = max(chosen, key=lambda each: each.epoch)
    if last.protocols:
        return
    if not quiet:
        say(f"{last.variant}, seed {last.seed}: galleries, transfer, groups after {last.stage}")
    scores = protocol_scores(
        run, last.stage, whole, table, embeddings=last.embeddings(), quiet=quiet
    )
    replace(last, protocols=dict(scores)).write()


def chance_measures(caption_image: np.ndarray, images: int) -> dict[str, float]:
    """Returns the measures to expect of random order among a number of images.

    `rsum_deviation` is the standard deviation of the recall sum.
    """
    scores = chance_level(images, caption_image).to_dict()
    deviation = {"rsum_deviation": chance_deviation(images, caption_image)}
    return _scores(scores) | {"probe_accuracy": 0.5, "linear_probe_accuracy": 0.5} | deviation


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
        measure: Difference.of(
            {seed: ours[seed].values[measure] - theirs[seed].values[measure] for seed in seeds},
            queries.get(measure),
        )
        for measure in ours[seeds[0]].values
    }


def _over_queries(pairs: Sequence[tuple[Measurement, Measurement]]) -> dict[str, Interval]:
    rows = pairs[0][0].embeddings().caption_image
    answered = [
        np.subtract(*(queries_answered(each.ranks(), rows) for each in pair)) for pair in pairs
    ]
    draws = resampled_recalls(answered, rows)
    columns = dict(zip(_RECALLS, draws.T, strict=True)) | {"rsum": draws.sum(axis=1)}
    return {name: middle(column) for name, column in columns.items()}


def _scores(scores: dict[str, Any]) -> dict[str, float]:
    found = {
        f"{direction}_{score}": scores[direction][score]
        for direction in _DIRECTIONS
        for score in ("r1", "r5", "r10", "median_rank")
    }
    return found | {"rsum": scores["rsum"]}
