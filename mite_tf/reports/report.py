"""One HTML page that tells what models can do, readable anywhere without other files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mite_tf.evaluation.embeddings import Embeddings
from mite_tf.evaluation.evaluation import Evaluation
from mite_tf.evaluation.near_misses import Confusion
from mite_tf.reports.contact_sheet import describe_search
from mite_tf.reports.figures import for_page, to_png
from mite_tf.reports.history_plot import plot_history
from mite_tf.reports.near_miss_plot import plot_near_misses
from mite_tf.reports.page import write_page
from mite_tf.reports.plots import plot_modalities, plot_recall, plot_similarities
from mite_tf.reports.table import evaluation_rows
from mite_tf.retrieval.index import Hit


@dataclass(frozen=True)
class SearchExample:
    """One search to show in a report.

    Attributes:
        query: A sentence, or the `Path` of an image.
        hits: Results, best first.
        correct: Ids that truly match the query; results among them are marked.
    """

    query: str | Path
    hits: Sequence[Hit]
    correct: Collection[str] = ()


def write_report(
    path: str | Path,
    *,
    title: str,
    evaluations: Mapping[str, Evaluation],
    history: Sequence[Mapping[str, Any]] = (),
    embeddings: Mapping[str, Embeddings] | None = None,
    examples: Sequence[SearchExample] = (),
    image_paths: Mapping[str, str | Path] | None = None,
    captions: Mapping[str, str] | None = None,
    details: Mapping[str, object] | None = None,
    projection: str = "pca",
    near_misses: Mapping[str, Mapping[str, Confusion]] | None = None,
) -> None:
    """Writes evaluations, plots and search examples as one self-contained HTML page.

    Args:
        path: HTML file to write; an existing one is replaced.
        title: Heading of the page.
        evaluations: Evaluations by model name, at least one.
        history: Rows of a training, as `plot_history` takes them; none leaves the curves out.
        embeddings: Embeddings by model name, for the plots of both modalities and of
            similarities; None leaves these out.
        examples: Searches to show; their results' ids are looked up in the two that follow.
        image_paths: Image file by id.
        captions: Sentence by id.
        details: What else to state at the top, such as data set, run and date.
        projection: How both modalities are drawn in two dimensions, `pca` or `umap`.
        near_misses: Confusion of near misses by model name and kind, of rendered scenes.

    Raises:
        MiteError: If an image cannot be read, an example has nothing to show, or there is no
            such projection.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> eye = np.eye(5)
        >>> evaluation = evaluate_embeddings(eye, eye, np.arange(5), probe=False)
        >>> page = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(page, title="Five images", evaluations={"perfect": evaluation})
        >>> "Five images" in page.read_text(encoding="utf-8")
        True
    """
    figures = [("Recall", plot_recall(evaluations))]
    if embeddings:
        figures.append(("Both modalities", plot_modalities(embeddings, method=projection)))
        figures.append(("Similarities", plot_similarities(embeddings)))
    if near_misses:
        percents = {n: {k: c.percent for k, c in each.items()} for n, each in near_misses.items()}
        figures.append(("Near misses", plot_near_misses(percents)))
    if history:
        figures.append(("Training", plot_history(history)))
    header, *rows = evaluation_rows(evaluations, near_misses)
    write_page(
        path,
        "report.html",
        title=title,
        details=dict(details or {}),
        splits=dict.fromkeys((e.protocol, e.images, e.captions) for e in evaluations.values()),
        header=header,
        rows=rows,
        figures=[
            for_page(heading, figure.get_suptitle(), to_png(figure)) for heading, figure in figures
        ],
        searches=[
            describe_search(e.query, e.hits, image_paths, captions=captions, correct=e.correct)
            for e in examples
        ],
    )
