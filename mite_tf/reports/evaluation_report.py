"""Evaluations side by side: as a table in the terminal, and as a page with plots and searches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mite_tf.evaluation import Confusion, Embeddings, Evaluation, RetrievalScores
from mite_tf.progress import plain
from mite_tf.reports import evaluation_plots as plots
from mite_tf.reports.contact_sheet import SearchExample, SideBySide, describe_search
from mite_tf.reports.history_plots import plot_history
from mite_tf.reports.pages import PageFigure, write_page

_DIRECTIONS = {"image_to_text": "image → text", "text_to_image": "text → image"}
_CORRECTED = ", hubs corrected"
_RANKS = {
    "r1": ("R@1, %", ".1f"),
    "r5": ("R@5, %", ".1f"),
    "r10": ("R@10, %", ".1f"),
    "median_rank": ("median rank", "g"),
    "mean_rank": ("mean rank", ".1f"),
}
_INVARIANCE = {"probe_accuracy": "probe accuracy", "centroid_gap": "centroid gap"}


def print_table(
    evaluations: Mapping[str, Evaluation],
    *,
    near_misses: Mapping[str, Mapping[str, Confusion]] | None = None,
    console: Console | None = None,
) -> None:
    """Prints a column for each model, and one for what random order would score.

    Below it stands what the numbers do not show, see `Evaluation.notes`. Evaluations come by model
    name, near misses of rendered scenes by model name and kind.

    Example:
        >>> import numpy as np
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> eye = np.eye(5)
        >>> perfect = evaluate_embeddings(eye, eye, np.arange(5), probe=False)
        >>> print_table({"perfect": perfect}, console=Console(width=60))
        <BLANKLINE>
                                   perfect   chance
         ...
         image → text   R@1, %       100.0     20.0
        ...
    """
    header, *rows = _rows(evaluations, near_misses)
    table = Table(box=SIMPLE)
    for position, name in enumerate(header):
        table.add_column(plain(name), justify="left" if position < 2 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row), end_section=row[1] == "mean rank")
    console = console or Console()
    console.print(table)
    for sentence in _notes(evaluations):
        console.print(plain(sentence), soft_wrap=True)


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
    introduction: Sequence[str] = (),
    side_by_side: SideBySide | None = None,
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
        captions: Caption by id.
        details: What else to state at the top, such as data set, run and date.
        projection: How both modalities are drawn in two dimensions, `pca` or `umap`.
        near_misses: Near misses by model name and kind, of rendered scenes.
        introduction: Paragraphs that come first: what is compared, and what to look at.
        side_by_side: Searches of several models in one gallery; their hits are looked up likewise.

    Raises:
        MiteError: If an image cannot be read, an example has nothing to show, or there is no
            such projection.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> eye = np.eye(5)
        >>> evaluation = evaluate_embeddings(eye, eye, range(5), probe=False)
        >>> page = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(page, title="Five images", evaluations={"perfect": evaluation})
        >>> "Five images" in page.read_text(encoding="utf-8")
        True
    """
    figures = {"Recall": plots.plot_recall(evaluations)}
    if embeddings:
        figures["Both modalities"] = plots.plot_modalities(embeddings, method=projection)
        if all(len(each.images) > 1 for each in embeddings.values()):
            figures["Similarities"] = plots.plot_similarities(embeddings)
    if near_misses:
        percents = {n: {k: c.percent for k, c in each.items()} for n, each in near_misses.items()}
        figures["Near misses"] = plots.plot_near_misses(percents)
    if history:
        figures["Training"] = plot_history(history)
    header, *rows = _rows(evaluations, near_misses)
    write_page(
        path,
        "evaluation_report.html",
        title=title,
        introduction=introduction,
        details=dict(details or {}),
        splits=dict.fromkeys((e.protocol, e.images, e.captions) for e in evaluations.values()),
        header=header,
        rows=rows,
        notes=_notes(evaluations),
        figures=[PageFigure.of(heading, figure) for heading, figure in figures.items()],
        searches=[describe_search(example, image_paths, captions) for example in examples],
        gallery_of_both=side_by_side,
        sides=[
            {name: describe_search(each, image_paths, captions) for name, each in models.items()}
            for models in (side_by_side.searches if side_by_side else ())
        ],
    )


def _notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """What the numbers do not show, once each; with the model's name where models differ in it."""
    every = {name: evaluation.notes for name, evaluation in evaluations.items()}
    found = []
    for sentence in dict.fromkeys(sentence for notes in every.values() for sentence in notes):
        names = [name for name, notes in every.items() if sentence in notes]
        about = "" if len(names) == len(every) else f"{', '.join(names)}: "
        found.append(f"{about}{sentence}")
    return found


def _rows(
    evaluations: Mapping[str, Evaluation],
    near_misses: Mapping[str, Mapping[str, Confusion]] | None = None,
) -> list[list[str]]:
    """Lays evaluations out as rows of texts, the header first.

    Two columns name the score, one follows for each model, one for chance. Where models were
    evaluated on different candidates, each of these has its chance column.
    """
    models = list(evaluations.values())
    different = {model.chance: model for model in models}
    chances = {f"chance, {e.protocol}, {e.images:,} images": c for c, e in different.items()}
    if len(different) == 1:
        chances = {"chance": models[0].chance}
    columns: dict[str, list[RetrievalScores | None]] = {
        "": [*(model.scores for model in models), *chances.values()]
    }
    if any(model.corrected for model in models):
        columns[_CORRECTED] = [*(model.corrected for model in models), *chances.values()]
    rows = [["", "", *evaluations, *chances]]
    for how, scores in columns.items():
        for direction, name in _DIRECTIONS.items():
            for score, (label, form) in _RANKS.items():
                values = [
                    format(getattr(getattr(each, direction), score), form) if each else ""
                    for each in scores
                ]
                rows.append([f"{name}{how}" if score == "r1" else "", label, *values])
        sums = [f"{each.rsum:.1f}" if each else "" for each in scores]
        rows.append([f"both{how}", "rsum", *sums])
    after = len(_DIRECTIONS) * len(_RANKS) + 2  # of both modalities too, whatever is corrected
    rows[after:after] = _invariance_rows(models, len(chances))
    confusions = near_misses or {}
    for position, kind in enumerate(next(iter(confusions.values()), {})):
        found = [f"{confusions[name][kind].percent:.1f}" for name in evaluations]
        heading = "" if position else "near misses"
        rows.append([heading, f"{kind}, %", *found, *["50.0"] * len(chances)])
    return rows


def _invariance_rows(models: Sequence[Evaluation], chances: int) -> list[list[str]]:
    rows = []
    for measure, label in _INVARIANCE.items():
        measured = [model.invariance.get(measure) for model in models]
        found = ["" if value is None else f"{value:.3f}" for value in measured]
        chance = "0.500" if measure == "probe_accuracy" else ""
        rows.append(["", label, *found, *[chance] * chances])
    return rows
