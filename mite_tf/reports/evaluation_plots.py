"""Figures of evaluations, of embeddings and of near misses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation import (
    DirectionScores,
    Embeddings,
    Evaluation,
    centroid_gap,
    matching_similarities,
)
from mite_tf.evaluation.embeddings import one_caption_each, unit_embeddings
from mite_tf.extras import from_extra
from mite_tf.reports.figures import (
    CAPTION_COLOUR,
    COLOURS,
    IMAGE_COLOUR,
    INK,
    SOFT,
    legend_below,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Plane(NamedTuple):
    """Points `[N, 2]` in two dimensions, and what the two are."""

    points: NDArray
    labels: tuple[str, str]


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


def plot_near_misses(confusions: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draws for each kind of near miss how often models prefer it to the right scene.

    Args:
        confusions: By model name and kind: percentage of comparisons that went wrong. All
            models have the same kinds, at least one.

    Returns:
        The figure.

    Example:
        >>> figure = plot_near_misses({"MITE": {"colour": 12.0, "count": 48.0}})
        >>> figure.get_suptitle()
        'Near misses in count are the hardest to tell from the right scene.'
    """
    kinds = list(next(iter(confusions.values())))
    values = np.array([[by_kind[kind] for kind in kinds] for by_kind in confusions.values()])
    hardest = kinds[int(values.mean(axis=0).argmax())]
    title = f"Near misses in {hardest} are the hardest to tell from the right scene."
    figure, [panel] = new_figure(title, 1, height=3.5)
    width = 0.8 / len(confusions)
    for position, (name, heights) in enumerate(zip(confusions, values, strict=True)):
        x = np.arange(len(kinds)) + (position - (len(confusions) - 1) / 2) * width
        colour = COLOURS[position % len(COLOURS)]
        bars = panel.bar(x, heights, 0.92 * width, color=colour, label=name)
        if len(confusions) < 4:
            panel.bar_label(bars, fmt="%.0f", fontsize=8, padding=1, color=INK)
    panel.axhline(50, color=INK, linestyle=":", linewidth=1.2, label="chance")
    panel.set_xticks(range(len(kinds)), kinds)
    panel.set_ylabel("near miss preferred (%)")
    legend_below(figure, panel)
    return figure


def project_to_plane(rows: NDArray, method: str = "pca", *, seed: int = 0) -> Plane:
    """Projects rows to two dimensions.

    Args:
        rows: Real numbers of shape `[N, D]`.
        method: `pca` for the plane in which the rows vary most: what is far apart there is far
            apart. `umap` keeps neighbours together instead, so that it shows groups, while
            distances between them say little; it comes with `pip install 'mite-tf[umap]'`.
        seed: Decides what `umap` draws.

    Raises:
        MiteError: If there is no such method, or UMAP is not installed.

    Reference:
        McInnes et al., UMAP, 2018, arXiv:1802.03426.

    Example:
        >>> plane = project_to_plane(np.diag([3.0, 2.0, 0.0]))
        >>> plane.points.shape, plane.labels[0]
        ((3, 2), 'first component (80% of variance)')
    """
    if method == "pca":
        return _principal_plane(rows)
    if method == "umap":
        return Plane(_umap(rows, seed), ("first dimension of UMAP", "second dimension of UMAP"))
    raise MiteError(f"No projection {method!r}; there are pca, umap.")


def _principal_plane(rows: NDArray) -> Plane:
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, [-1, -2]]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # a direction, not its opposite
    shares = variances[[-1, -2]] / max(variances.sum(), 1e-12)
    return Plane(
        centred @ axes,
        (
            f"first component ({shares[0]:.0%} of variance)",
            f"second component ({shares[1]:.0%} of variance)",
        ),
    )


def _umap(rows: NDArray, seed: int) -> NDArray:
    with from_extra("umap", "The projection 'umap'"):
        from umap import UMAP
    # One job: with a seed there is never another.
    neighbours = min(15, len(rows) - 1)
    umap = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1)
    return np.asarray(umap.fit_transform(rows))


def _recalls(scores: DirectionScores) -> list[float]:
    return [scores.r1, scores.r5, scores.r10]


def _scatter(panel: "Axes", points: NDArray, colour: str, marker: str, label: str) -> None:
    x, y = points.T
    panel.scatter(x, y, s=12, color=colour, marker=marker, alpha=0.5, linewidth=0, label=label)
    x, y = points.mean(axis=0)
    panel.scatter(x, y, s=130, color=colour, marker=marker, edgecolor="white", linewidth=1.5)
