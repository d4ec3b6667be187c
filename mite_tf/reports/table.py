"""Several evaluations side by side."""

from collections.abc import Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mite_tf.evaluation.evaluation import Evaluation
from mite_tf.evaluation.near_misses import Confusion
from mite_tf.evaluation.scores import RetrievalScores

_DIRECTIONS = {"image_to_text": "image → text", "text_to_image": "text → image"}
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

    Args:
        evaluations: Evaluations by model name.
        near_misses: Confusion of near misses by model name and kind, if there is any.
        console: Where to print; standard output if left out.

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
    header, *rows = evaluation_rows(evaluations, near_misses)
    table = Table(box=SIMPLE)
    for position, name in enumerate(header):
        table.add_column(Text(name), justify="left" if position < 2 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row, end_section=row[1] == "mean rank")
    (console or Console()).print(table)


def evaluation_rows(
    evaluations: Mapping[str, Evaluation],
    near_misses: Mapping[str, Mapping[str, Confusion]] | None = None,
) -> list[list[str]]:
    """Lays evaluations out as a table of texts.

    Where models were evaluated on different candidates, each of these has its chance column.

    Args:
        evaluations: Evaluations by model name.
        near_misses: Confusion of near misses by model name and kind, if there is any.

    Returns:
        Rows of equal length, the first being the header: two columns that name the score,
        one for each model, one or more for chance.

    Example:
        >>> import numpy as np
        >>> from mite_tf.evaluation import evaluate_embeddings
        >>> evaluation = evaluate_embeddings(np.eye(5), np.eye(5), np.arange(5), probe=False)
        >>> header, first, *_ = evaluation_rows({"perfect": evaluation})
        >>> first
        ['image → text', 'R@1, %', '100.0', '20.0']
    """
    models, chances = list(evaluations.values()), _chance_columns(evaluations)
    columns = [*(model.scores for model in models), *chances.values()]
    rows = [["", "", *evaluations, *chances]]
    for direction, direction_name in _DIRECTIONS.items():
        for score, (label, form) in _RANKS.items():
            values = [format(getattr(getattr(c, direction), score), form) for c in columns]
            rows.append([direction_name if score == "r1" else "", label, *values])
    rows.append(["both", "rsum", *(f"{column.rsum:.1f}" for column in columns)])
    for measure, label in _INVARIANCE.items():
        found = [_measured(model, measure) for model in models]
        chance = "0.500" if measure == "probe_accuracy" else ""
        rows.append(["", label, *found, *[chance] * len(chances)])
    confusions = near_misses or {}
    for position, kind in enumerate(next(iter(confusions.values()), {})):
        found = [f"{confusions[name][kind].percent:.1f}" for name in evaluations]
        heading = "" if position else "near misses"
        rows.append([heading, f"{kind}, %", *found, *["50.0"] * len(chances)])
    return rows


def _measured(evaluation: Evaluation, measure: str) -> str:
    value = evaluation.invariance.get(measure)
    return "" if value is None else f"{value:.3f}"


def _chance_columns(evaluations: Mapping[str, Evaluation]) -> dict[str, RetrievalScores]:
    different = {evaluation.chance: evaluation for evaluation in evaluations.values()}
    if len(different) == 1:
        return {"chance": next(iter(different))}
    return {f"chance, {e.protocol}, {e.images:,} images": c for c, e in different.items()}
