"""Figures of what evaluations and embeddings say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mite_tf.evaluation.embeddings import Embeddings, one_caption_each, unit_embeddings
from mite_tf.evaluation.evaluation import Evaluation
from mite_tf.evaluation.gaps import centroid_gap
from mite_tf.evaluation.ranking import matching_similarities
from mite_tf.evaluation.scores import DirectionScores
from mite_tf.reports.figures import (
    CAPTION_COLOUR,
    COLOURS,
    IMAGE_COLOUR,
    INK,
    SOFT,
    legend_below,
    new_figure,
)
from mite_tf.reports.projection import project_to_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_recall(evaluations: Mapping[str, Evaluation]) -> "Figure":
    """Draws recall at 1, 5 and 10 in both directions as bars, in a colour for each model.

    Args:
        evaluations: Evaluations by model name, at least one.

    Returns:
        The figure; `figure.savefig(path)` writes it.

    Example:
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> eye = np.eye(5)
        >>> evaluation = evaluate_embeddings(eye, eye, np.arange(5), probe=False)
        >>> len(plot_recall({"perfect": evaluation}).axes)
        2
    """
    best = max(evaluations, key=lambda name: evaluations[name].rsum)
    what = "the highest recall sum" if len(evaluations) > 1 else "a recall sum"
    title = f"{best} has {what}, {evaluations[best].rsum:.1f} of 600."
    figure, panels = new_figure(title, 2, height=3.7)
    for panel, direction, heading in zip(
        panels,
        ("image_to_text", "text_to_image"),
        ("Images look for captions.", "Captions look for their image."),
        strict=True,
    ):
        width = 0.8 / len(evaluations)
        for position, (name, evaluation) in enumerate(evaluations.items()):
            x = np.arange(3) + (position - (len(evaluations) - 1) / 2) * width
            recalls = _recalls(getattr(evaluation.scores, direction))
            chances = _recalls(getattr(evaluation.chance, direction))
            colour = COLOURS[position % len(COLOURS)]
            bars = panel.bar(x, recalls, 0.92 * width, color=colour, label=name)
            panel.bar_label(bars, fmt="%.1f", fontsize=8, padding=1, color=INK)
            panel.hlines(chances, x - width / 2, x + width / 2, color=INK, linestyle=":")
        panel.plot([], [], color=INK, linestyle=":", label="random order")
        panel.set_xticks(range(3), ["R@1", "R@5", "R@10"])
        panel.set(ylim=(0, 108), yticks=range(0, 101, 20))
        panel.set_ylabel("queries answered (%)")
        panel.set_title(heading, fontsize=10)
    legend_below(figure, panels[0])
    return figure


def plot_modalities(
    embeddings: Mapping[str, Embeddings],
    *,
    method: str = "pca",
    points: int = 500,
    lines: int = 25,
    seed: int = 0,
) -> "Figure":
    """Draws images and captions in two dimensions.

    Each model has its own panel and its own projection of its images and captions taken
    together. Grey lines join a few matching pairs.

    Args:
        embeddings: Embeddings by model name, such as before and after adversarial training.
        method: `pca`, the plane in which they vary most, or `umap`; see `project_to_plane`.
        points: At most this many images are drawn, each with one caption.
        lines: How many matching pairs are joined.
        seed: Decides which, and what `umap` draws.

    Returns:
        The figure.

    Raises:
        MiteError: If there is no such method, or UMAP is not installed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> pairs = Embeddings(rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), np.arange(9))
        >>> len(plot_modalities({"before": pairs, "after": pairs}).axes)
        2
    """
    title = "Images and captions mix where the embedding is modality-invariant."
    figure, panels = new_figure(title, len(embeddings), height=4.4)
    for panel, (name, pairs) in zip(panels, embeddings.items(), strict=True):
        units = unit_embeddings(*pairs)
        images, captions = one_caption_each(units, max_images=points, seed=seed)
        plane = project_to_plane(np.concatenate([images, captions]), method, seed=seed)
        images, captions = plane.points[: len(images)], plane.points[len(images) :]
        for x, y in zip(images[:lines], captions[:lines], strict=True):
            panel.plot([x[0], y[0]], [x[1], y[1]], color=SOFT, linewidth=0.7, alpha=0.6, zorder=1)
        _scatter(panel, images, IMAGE_COLOUR, "o", "images")
        _scatter(panel, captions, CAPTION_COLOUR, "^", "captions")
        panel.set_aspect("equal", adjustable="datalim")
        panel.set_xlabel(plane.labels[0])
        panel.set_ylabel(plane.labels[1])
        gap = centroid_gap(units.images, units.captions)
        panel.set_title(f"{name}\nThe centroids are {gap:.2f} apart.", fontsize=10)
    legend_below(figure, panels[0])
    return figure


def plot_similarities(embeddings: Mapping[str, Embeddings]) -> "Figure":
    """Draws how near captions are to their image and to the nearest other image.

    Args:
        embeddings: Embeddings by model name.

    Returns:
        The figure: one panel for each model, with two histograms over all captions.

    Example:
        >>> pairs = Embeddings(np.eye(3), np.eye(3), np.arange(3))
        >>> [panel] = plot_similarities({"perfect": pairs}).axes
        >>> print(panel.get_title())
        perfect
        100.0% of captions are nearest to their own image.
    """
    title = "A caption finds its image if it is nearer to it than to any other image."
    figure, panels = new_figure(title, len(embeddings), height=3.5)
    found = {name: matching_similarities(*pairs) for name, pairs in embeddings.items()}
    every = np.concatenate([similarities for both in found.values() for similarities in both])
    bins = np.histogram_bin_edges(every, 40).tolist()
    for panel, (name, (matching, hardest)) in zip(panels, found.items(), strict=True):
        panel.hist(hardest, bins, color=COLOURS[3], alpha=0.6, label="nearest other image")
        panel.hist(matching, bins, color=COLOURS[2], alpha=0.6, label="own image")
        panel.set_xlabel("cosine similarity")
        panel.set_ylabel("number of captions")
        share = 100 * np.mean(matching > hardest)
        sentence = f"{share:.1f}% of captions are nearest to their own image."
        panel.set_title(f"{name}\n{sentence}", fontsize=10)
    legend_below(figure, panels[0])
    return figure


def _recalls(scores: DirectionScores) -> list[float]:
    return [scores.r1, scores.r5, scores.r10]


def _scatter(panel: "Axes", points: NDArray, colour: str, marker: str, label: str) -> None:
    x, y = points.T
    panel.scatter(x, y, s=12, color=colour, marker=marker, alpha=0.5, linewidth=0, label=label)
    x, y = points.mean(axis=0)
    panel.scatter(x, y, s=130, color=colour, marker=marker, edgecolor="white", linewidth=1.5)
