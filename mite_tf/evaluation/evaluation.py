"""What an evaluation says of one model on one split, by a protocol that others can repeat."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import unit_embeddings
from mite_tf.evaluation.invariance import centroid_gap, mmd, relative_modality_gap
from mite_tf.evaluation.probe import probe_accuracy
from mite_tf.evaluation.ranking import matching_ranks
from mite_tf.evaluation.scores import (
    DirectionScores,
    RetrievalScores,
    against_chance,
    chance_deviation,
    chance_level,
    reached_by_chance,
)
from mite_tf.files import write_text
from mite_tf.retrieval import HubCorrection

# Number of folds and of images in each, in file order; None for all images there are. Scores are
# means over the folds.
_PROTOCOLS: dict[str, tuple[int, int | None]] = {
    "full": (1, None),
    # The two ways to report MSCOCO's 5,000 test images: each of five thousands by itself, then the
    # mean; or all together. Every caption counts; some papers keep the first five of an image.
    "coco-1k": (5, 1000),
    "coco-5k": (1, 5000),
}


@dataclass(frozen=True)
class Evaluation:
    """How well a model matches images and captions, and how alike it makes them.

    Attributes:
        scores: Recall, median and mean rank in both directions.
        invariance: Measures of modality invariance over the whole split; the lower, the more
            alike the modalities: `probe_accuracy` (in [0, 1], 0.5 is chance), `centroid_gap` (in
            [0, 2]), `relative_modality_gap` (in [0, 1]) and `mmd` (about 0 to 2), each from the
            function of that name.
        chance: The scores to expect of random order under the same protocol.
        protocol: Name of the protocol.
        images: Number of images in the split.
        captions: Number of captions in the split.
        chance_deviation: Standard deviation of the recall sum under random order.
        left_out: Measures of invariance that the split has too few images for, each with the
            reason; they are not in `invariance`.
        corrected: Scores with hubs corrected, under the same protocol; None where none were.
    """

    scores: RetrievalScores
    invariance: dict[str, float]
    chance: RetrievalScores
    protocol: str
    images: int
    captions: int
    chance_deviation: float = 0.0
    left_out: dict[str, str] = field(default_factory=dict)
    corrected: RetrievalScores | None = None

    @property
    def image_to_text(self) -> DirectionScores:
        """Scores of images that look for captions."""
        return self.scores.image_to_text

    @property
    def text_to_image(self) -> DirectionScores:
        """Scores of captions that look for their image."""
        return self.scores.text_to_image

    @property
    def rsum(self) -> float:
        """Sum of the six recalls, 0 to 600."""
        return self.scores.rsum

    @property
    def beats_chance(self) -> bool:
        """Whether the recall sum is two standard deviations above that of random order."""
        return not against_chance(self.rsum, self.chance.rsum, self.chance_deviation)

    @property
    def notes(self) -> list[str]:
        """Sentences on what these numbers do not show: chance not beaten, measures left out."""
        found = [
            against_chance(self.rsum, self.chance.rsum, self.chance_deviation),
            reached_by_chance(self.chance),
        ]
        left_out = [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        return [sentence for sentence in (*found, *left_out) if sentence]

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores, `invariance` and, as context, the other attributes, ready for JSON.

        Recalls are percentages, ranks start at 1, `probe_accuracy` is a share. `beats_chance` is
        there too.
        """
        return {
            **self.scores.to_dict(),
            "corrected": self.corrected and self.corrected.to_dict(),
            "invariance": self.invariance,
            "left_out": self.left_out,
            "chance": self.chance.to_dict(),
            "chance_deviation": self.chance_deviation,
            "beats_chance": self.beats_chance,
            "protocol": self.protocol,
            "images": self.images,
            "captions": self.captions,
        }

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def evaluate_embeddings(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    protocol: str = "full",
    hubs: HubCorrection | None = None,
    probe: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Judges embeddings of a test split: retrieval in both directions, and invariance.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`; scaled to length 1 here.
        caption_embeddings: Real numbers of shape `[C, D]`; scaled to length 1 here.
        caption_image: Integers of shape `[C]`: the row of each caption's image. Images may
            have any number of captions; those without are only distractors.
        protocol: `full` (the whole split), `coco-1k` (the mean over five folds of 1,000 images in
            file order) or `coco-5k` (exactly 5,000 images).
        hubs: Measures recall also with hubs corrected so, as `corrected`; None for not.
        probe: Whether to train the modality probe, which takes a few seconds.
        seed: Decides every random draw.

    Measures of invariance that need more images than there are are left out, with the reason.

    Raises:
        MiteError: If shapes do not fit together, a value is not finite, the protocol is unknown,
            or the split does not fit it.

    Example:
        >>> vectors = np.eye(5)
        >>> evaluation = evaluate_embeddings(vectors, vectors, np.arange(5), probe=False)
        >>> evaluation.rsum, round(evaluation.chance.image_to_text.r1, 6)
        (600.0, 20.0)
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    images, captions, rows = embeddings
    scores, corrected, chance, variances = [], [], [], []
    for fold, fold_captions in _folds(protocol, len(images), rows):
        fold_images, fold_rows = images[fold], rows[fold_captions] - fold.start
        candidates = fold_images, captions[fold_captions], fold_rows
        scores.append(_scores(*candidates))
        if hubs is not None:
            corrected.append(_scores(*candidates, hubs))
        chance.append(chance_level(len(fold_images), fold_rows))
        variances.append(chance_deviation(len(fold_images), fold_rows) ** 2)
    measures: dict[str, Callable[[], float]] = {
        **({"probe_accuracy": lambda: probe_accuracy(*embeddings, seed=seed)} if probe else {}),
        "centroid_gap": lambda: centroid_gap(images, captions),
        "relative_modality_gap": lambda: relative_modality_gap(*embeddings),
        "mmd": lambda: mmd(*embeddings, seed=seed),
    }
    invariance, left_out = {}, {}
    for name, measure in measures.items():
        try:
            invariance[name] = measure()
        except MiteError as error:  # the embeddings are sound, so there are too few of them
            left_out[name] = str(error)
    return Evaluation(
        scores=RetrievalScores.mean(scores),
        invariance=invariance,
        chance=RetrievalScores.mean(chance),
        protocol=protocol,
        images=len(images),
        captions=len(captions),
        chance_deviation=float(np.sqrt(np.sum(variances)) / len(variances)),
        left_out=left_out,
        corrected=RetrievalScores.mean(corrected) if corrected else None,
    )


def _scores(
    images: NDArray, captions: NDArray, rows: NDArray, hubs: HubCorrection | None = None
) -> RetrievalScores:
    ranks = matching_ranks(images, captions, rows, hubs=hubs)
    return RetrievalScores(*map(DirectionScores.of_ranks, ranks))


def _folds(protocol: str, images: int, rows: NDArray) -> list[tuple[slice, NDArray[np.int64]]]:
    """Returns the rows of each fold's images and of their captions."""
    if protocol not in _PROTOCOLS:
        raise MiteError(f"Unknown protocol {protocol!r}; choose one of {', '.join(_PROTOCOLS)}.")
    folds, fold_images = _PROTOCOLS[protocol]
    size = fold_images or images
    if images != size * folds:
        raise MiteError(
            f"Protocol {protocol} needs exactly {size * folds:,} images; this split has "
            f"{images:,}. Use the protocol full for it."
        )
    found = []
    for start in range(0, images, size):
        captions = np.flatnonzero((rows >= start) & (rows < start + size))
        if not len(captions):
            raise MiteError(f"Images {start} to {start + size - 1} have no captions to evaluate.")
        found.append((slice(start, start + size), captions))
    return found
