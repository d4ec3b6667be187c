"""Everything that is said of one model on one split, as a value, a file and a table."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from mite_tf.evaluation.chance import chance_level
from mite_tf.evaluation.embeddings import unit_embeddings
from mite_tf.evaluation.invariance import measure_invariance
from mite_tf.evaluation.protocols import protocol_folds
from mite_tf.evaluation.ranking import matching_ranks
from mite_tf.evaluation.scores import DirectionScores, RetrievalScores
from mite_tf.files import write_text


@dataclass(frozen=True)
class Evaluation:
    """How well a model matches images and captions, and how alike it makes them.

    Attributes:
        scores: Recall, median and mean rank in both directions.
        invariance: Measures of modality invariance by name, over the whole split; see
            `measure_invariance`.
        chance: The scores to expect of random order under the same protocol.
        protocol: Name of the protocol.
        images: Number of images in the split.
        captions: Number of captions in the split.
    """

    scores: RetrievalScores
    invariance: dict[str, float]
    chance: RetrievalScores
    protocol: str
    images: int
    captions: int

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

    def to_dict(self) -> dict[str, Any]:
        """Gives the evaluation as JSON holds it.

        Returns:
            `image_to_text`, `text_to_image`, `rsum`, `invariance`, and as context `chance`,
            `protocol`, `images`, `captions`. Recalls are percentages, ranks start at 1,
            `probe_accuracy` is a share.
        """
        return {
            **self.scores.to_dict(),
            "invariance": self.invariance,
            "chance": self.chance.to_dict(),
            "protocol": self.protocol,
            "images": self.images,
            "captions": self.captions,
        }

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict` as a JSON file, whole or not at all.

        Args:
            path: File to write; an existing one is replaced.
        """
        write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def evaluate_embeddings(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    *,
    protocol: str = "full",
    probe: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Judges embeddings of a test split: retrieval in both directions, and invariance.

    Args:
        image_embeddings: Real numbers of shape `[I, D]`; scaled to length 1 here.
        caption_embeddings: Real numbers of shape `[C, D]`; scaled to length 1 here.
        caption_image: Integers of shape `[C]`: the row of each caption's image. Images may
            have any number of captions; those without are only distractors.
        protocol: `full`, `coco-1k` or `coco-5k`; see `protocol_folds`.
        probe: Whether to train the modality probe, which takes a few seconds.
        seed: Decides every random draw.

    Returns:
        The evaluation.

    Raises:
        MiteError: If shapes do not fit together, a value is not finite, there are too few
            images, or the split does not fit the protocol.

    Example:
        >>> import numpy as np
        >>> vectors = np.eye(5)
        >>> evaluation = evaluate_embeddings(vectors, vectors, np.arange(5), probe=False)
        >>> evaluation.rsum, round(evaluation.chance.image_to_text.r1, 6)
        (600.0, 20.0)
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    images, captions, rows = embeddings
    scores, chance = [], []
    for fold in protocol_folds(protocol, len(images), rows):
        ranks = matching_ranks(images[fold.images], captions[fold.captions], fold.caption_image)
        scores.append(
            RetrievalScores(
                DirectionScores.of_ranks(ranks.image_to_text),
                DirectionScores.of_ranks(ranks.text_to_image),
            )
        )
        chance.append(chance_level(len(images[fold.images]), fold.caption_image))
    return Evaluation(
        scores=RetrievalScores.mean(scores),
        invariance=measure_invariance(*embeddings, probe=probe, seed=seed),
        chance=RetrievalScores.mean(chance),
        protocol=protocol,
        images=len(images),
        captions=len(captions),
    )
