"""Protocols beyond recall: galleries of both modalities, and what else one space is good for."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.galleries import everything_gallery, recall
from mite_tf.evaluation.label_transfer import frequent_nouns, named, transfer
from mite_tf.evaluation.mixed import mixed_gallery, sag
from mite_tf.evaluation.neighbours import grouping, stability
from mite_tf.evaluation.scorings import Scored, scorings
from mite_tf.files import write_text
from mite_tf.retrieval import HubCorrection

# Those that need a space, and so no scoring that is anything else than moved embeddings.
_OF_SPACES = ("transfer", "grouping", "stability")
ProtocolName = Literal["mixed", "everything", "recall", "transfer", "grouping", "stability"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)


@dataclass(frozen=True)
class ProtocolScores:
    """What one protocol measures of one model on one split, under each scoring.

    Attributes:
        protocol: One of `PROTOCOLS`.
        images: Number of images in the split.
        captions: Number of captions in the split.
        scores: Measures by scoring, see `scorings`, and by name: those of `mixed_gallery`, with
            `p0.5_` and so on before them, and `sag`, that of the curve of `caption_ndcg10`; or of
            `everything_gallery`, `recall`, `transfer`, `grouping` or `stability`.
        left_out: Why there are none, where the split does not allow it.
    """

    protocol: str
    images: int
    captions: int
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the attributes, ready for JSON."""
        return asdict(self)

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def measure_protocols(
    embeddings: Embeddings,
    protocols: Collection[str] = PROTOCOLS,
    *,
    texts: Sequence[str] = (),
    bank: HubCorrection | None = None,
) -> dict[str, ProtocolScores]:
    """Measures embeddings by several protocols, under all scorings that there are for them.

    On one core, 1,000 images with 5,000 captions of 512 numbers take about a minute.

    Args:
        embeddings: The split.
        protocols: Which of `PROTOCOLS`.
        texts: The captions themselves, in which `transfer` looks for nouns.
        bank: Embeddings that were trained on; None for the scorings that need none.

    Returns:
        What was measured, by protocol.

    Raises:
        MiteError: If a protocol is unknown or the embeddings cannot be used.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> images, rows = rng.normal(size=(20, 8)), np.repeat(np.arange(20), 2)
        >>> split = Embeddings(images, images[rows] + rng.normal(size=(40, 8)), rows)
        >>> found = measure_protocols(split, ["everything", "transfer"])
        >>> list(found["everything"].scores), found["transfer"].left_out[:20]
        (['cosine', 'reciprocal_rank'], 'Transfer needs texts')
    """
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise MiteError(f"Unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}.")
    counts = len(embeddings.images), len(embeddings.captions)
    labels = None
    if texts and "transfer" in protocols:
        nouns = frequent_nouns(texts)
        labels = named(texts, embeddings.caption_image, counts[0], nouns)
    scored = {name: (each.of(*embeddings), each.moves) for name, each in scorings(bank).items()}
    found = {}
    for protocol in protocols:
        measure = _of_space(protocol, labels) if protocol in _OF_SPACES else _GALLERIES[protocol]
        try:
            scores = {
                name: measure(each)
                for name, (each, moves) in scored.items()
                if moves or protocol not in _OF_SPACES
            }
            found[protocol] = ProtocolScores(protocol, *counts, scores)
        except MiteError as error:  # the embeddings are sound, so the split is too small
            found[protocol] = ProtocolScores(protocol, *counts, left_out=str(error))
    return found


def _mixed(scored: Scored) -> dict[str, float]:
    found = mixed_gallery(scored)
    flat = {
        f"p{share:g}_{name}": value
        for share, measures in found.items()
        for name, value in measures.items()
    }
    return flat | {"sag": sag({share: each["caption_ndcg10"] for share, each in found.items()})}


_GALLERIES: dict[str, Callable[[Scored], dict[str, float]]] = {
    "mixed": _mixed,
    "everything": everything_gallery,
    "recall": recall,
}


def _of_space(protocol: str, labels: NDArray | None) -> Callable[[Scored], dict[str, float]]:
    def measure(scored: Scored) -> dict[str, float]:
        split = scored.images.items, scored.captions.items, scored.caption_image
        if protocol == "grouping":
            return grouping(*split)
        if protocol == "stability":
            return stability(*split)
        if labels is None:
            raise MiteError("Transfer needs texts, in which it looks for nouns.")
        return transfer(*split, labels)

    return measure
