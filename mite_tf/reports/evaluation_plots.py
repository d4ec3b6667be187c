"""Figures of evaluations, of embeddings and of near misses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation import Embeddings, Evaluation, centroid_gap, matching_similarities
from mite_tf.evaluation.embeddings import one_caption_each, unit_embeddings
from mite_tf.extras import from_extra
from mite_tf.reports.figures import COLOURS, INK, SOFT, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_recall(evaluations: Mapping[str, Evaluation]) -> "Figure":
    """Draws recall at 1, 5 and 10 in both directions as bars, in a colour for each model.

    It takes evaluations by model name, at least one; `figure.savefig(path)` writes the figure.

    Example:
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> eye = np.eye(5)
        >>> evaluation = evaluate_embeddings(eye, eye, np.arange(5), probe=False)
        >>> len(plot_recall({"perfect": evaluation}).axes)
        2
    """
    sums = ", ".join(f"{name} {each.rsum:.1f}" for name, each in evaluations.items())
    title = f"Recall sum, of 600: {sums}."  # a difference may be noise: none is called the best
    figure, panels = new_figure(title, 2, height=3.7)
    for panel, direction, heading in zip(
        panels,
        ("image_to_text", "text_to_image"),
        ("Images look for captions.", "Captions look for their image."),
        strict=True,
    ):
        recalls = {
            name: getattr(each.scores, direction).recalls for name, each in evaluations.items()
        }
        ends = _grouped_bars(panel, recalls, fmt="%.1f")
        for evaluation, (left, right) in zip(evaluations.values(), ends, strict=True):
            chances = getattr(evaluation.chance, direction).recalls
            panel.hlines(chances, left, right, color=INK, linestyle=":")
        panel.plot([], [], color=INK, linestyle=":", label="random order")
        panel.set_xticks(range(3), ["R@1", "R@5", "R@10"])
        panel.set(ylim=(0, 108), yticks=range(0, 101, 20))
        panel.set_ylabel("queries answered (%)")
        panel.set_title(heading, fontsize=10)
    legend_below(figure, panels[0])
    return figure


def plot_modalities(embeddings: Mapping[str, Embeddings], *, method: str = "pca") -> "Figure":
    """Draws images and captions in two dimensions.

    Each model has its own panel and its own projection of its images and captions taken
    together: 500 images, drawn at random, each with one caption. Grey lines join a few of these
    pairs.

    Args:
        embeddings: Embeddings by model name, such as before and after adversarial training.
        method: `pca`, the plane in which they vary most: what is far apart there is far apart.
            `umap` keeps neighbours together instead, so that it shows groups, while distances
            between them say little; it comes with the extra `umap`.

    Raises:
        MiteError: If there is no such method, or UMAP is not installed.

    Reference:
        McInnes et al., UMAP, 2018, arXiv:1802.03426.

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
        images, captions = one_caption_each(units, max_images=500, seed=0)
        plane, labels = _project(np.concatenate([images, captions]), method)
        images, captions = plane[: len(images)], plane[len(images) :]
        for x, y in zip(images[:25], captions[:25], strict=True):
            panel.plot([x[0], y[0]], [x[1], y[1]], color=SOFT, linewidth=0.7, alpha=0.6, zorder=1)
        _scatter(panel, images, COLOURS[0], "o", "images")
        _scatter(panel, captions, COLOURS[1], "^", "captions")
        panel.set_aspect("equal", adjustable="datalim")
        panel.set_xlabel(labels[0])
        panel.set_ylabel(labels[1])
        gap = centroid_gap(units.images, units.captions)
        panel.set_title(f"{name}\nThe centroids are {gap:.2f} apart.", fontsize=10)
    legend_below(figure, panels[0])
    return figure


def plot_similarities(embeddings: Mapping[str, Embeddings]) -> "Figure":
    """Draws how near captions are to their image and to the nearest other image.

    Each model, by its name, has one panel with two histograms over all captions.

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

    It takes percentages of comparisons that went wrong, by model name and kind. All models have
    the same kinds, at least one.

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
    groups = dict(zip(confusions, values, strict=True))
    _grouped_bars(panel, groups, fmt="%.0f" if len(groups) < 4 else None)
    panel.axhline(50, color=INK, linestyle=":", linewidth=1.2, label="chance")
    panel.set_xticks(range(len(kinds)), kinds)
    panel.set_ylabel("near miss preferred (%)")
    legend_below(figure, panel)
    return figure


def _project(rows: NDArray, method: str) -> tuple[NDArray, list[str]]:
    """Returns points `[N, 2]`, and what the two dimensions are."""
    if method == "pca":
        centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
        variances, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, [-1, -2]]
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # a direction, not its opposite
        first, second = variances[[-1, -2]] / max(variances.sum(), 1e-12)
        labels = [f"first component ({first:.0%} of variance)"]
        labels += [f"second component ({second:.0%} of variance)"]
        return centred @ axes, labels
    if method == "umap":
        with from_extra("umap", "The projection 'umap'"):
            from umap import UMAP
        # One job: with a seed there is never another.
        neighbours = min(15, len(rows) - 1)
        umap = UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1)
        labels = ["first dimension of UMAP", "second dimension of UMAP"]
        return np.asarray(umap.fit_transform(rows)), labels
    raise MiteError(f"No projection {method!r}; there are pca, umap.")


def _grouped_bars(
    panel: "Axes", groups: Mapping[str, Sequence[float] | NDArray], fmt: str | None
) -> list[tuple[NDArray, NDArray]]:
    """Draws the bars of each group beside those of the others, and returns where they end."""
    width = 0.8 / len(groups)
    ends = []
    for position, (name, heights) in enumerate(groups.items()):
        x = np.arange(len(heights)) + (position - (len(groups) - 1) / 2) * width
        colour = COLOURS[position % len(COLOURS)]
        bars = panel.bar(x, heights, 0.92 * width, color=colour, label=name)
        if fmt is not None:
            panel.bar_label(bars, fmt=fmt, fontsize=8, padding=1, color=INK)
        ends.append((x - width / 2, x + width / 2))
    return ends


def _scatter(panel: "Axes", points: NDArray, colour: str, marker: str, label: str) -> None:
    x, y = points.T
    panel.scatter(x, y, s=12, color=colour, marker=marker, alpha=0.5, linewidth=0, label=label)
    x, y = points.mean(axis=0)
    panel.scatter(x, y, s=130, color=colour, marker=marker, edgecolor="white", linewidth=1.5)
